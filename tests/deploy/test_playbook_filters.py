"""The playbooks' own filters: CPU lists, and settings laid over the product's files."""

import importlib.util
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
CONFIG = REPOSITORY / "config"


def loaded():
    spec = importlib.util.spec_from_file_location(
        "appliance_filters", REPOSITORY / "ansible" / "filter_plugins" / "appliance.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


filters = loaded()


@pytest.mark.parametrize(
    ("text", "cpus"), [("", []), ("0", [0]), ("2-4,8", [2, 3, 4, 8]), ("3,1-1, 2", [1, 2, 3])]
)
def test_cpu_list_is_read_as_the_kernel_writes_it(text, cpus):
    assert filters.cpu_list(text) == cpus


@pytest.mark.parametrize("text", ["a", "1-", "-1", "3-1", "1;2", "yes"])
def test_what_is_no_cpu_list_is_refused_by_its_part(text):
    with pytest.raises(ValueError, match="found"):
        filters.cpu_list(text)


@pytest.mark.parametrize(
    ("cpus", "mask"), [([], "00000000"), ([0, 1], "00000003"), ([32], "00000001,00000000")]
)
def test_mask_has_groups_of_32_bits(cpus, mask):
    assert filters.cpu_mask(cpus) == mask


def test_without_settings_the_files_are_those_of_the_product():
    files = filters.configuration(CONFIG, {})

    assert files == {file.stem: file.read_text() for file in CONFIG.glob("*.toml")}
    assert len(files) == 5


def test_settings_change_their_values_and_nothing_else():
    settings = {
        "config": {"engine": {"open_net_bps": 7.5, "wait": "spin"}, "record": {"enabled": True}},
        "exchanges": {"exchanges": {"okx": {"spot": {"rest_url": "http://127.0.0.1:1/x"}}}},
    }

    files = filters.configuration(CONFIG, settings)

    shipped = {name: tomllib.loads((CONFIG / f"{name}.toml").read_text()) for name in files}
    changed = {name: tomllib.loads(text) for name, text in files.items()}
    assert changed["config"]["engine"].pop("open_net_bps") == 7.5
    assert changed["config"]["engine"].pop("wait") == "spin"
    assert changed["config"]["record"].pop("enabled") is True
    assert changed["exchanges"]["exchanges"]["okx"]["spot"].pop("rest_url").endswith(":1/x")
    for section, key in (("engine", "open_net_bps"), ("engine", "wait"), ("record", "enabled")):
        del shipped["config"][section][key]
    del shipped["exchanges"]["exchanges"]["okx"]["spot"]["rest_url"]
    assert changed == shipped
    comments = [line for line in (CONFIG / "config.toml").read_text().splitlines() if "#" in line]
    assert [line for line in files["config"].splitlines() if "#" in line] == comments


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"configs": {}}, "settings of 'configs', expected one of: config, directions"),
        (
            {"config": {"engin": {"wait": "spin"}}},
            r"config.toml: \[engin\] wait: found no such sec",
        ),
        ({"config": {"engine": {"waits": "spin"}}}, r"\[engine\] waits: found no such key"),
        ({"config": {"engine": {"wait": None}}}, r"\[engine\] wait: found None, expected a string"),
    ],
)
def test_word_that_exists_nowhere_is_named_with_what_there_is(settings, words):
    with pytest.raises(ValueError, match=words):
        filters.configuration(CONFIG, settings)


def test_setting_without_effect_is_told_with_what_holds():
    wanted = {"vm.swappiness": 1, "net.ipv4.tcp_rmem": "4096 262144 33554432", "net.core.x": 5}
    lines = ["vm.swappiness = 60", "net.ipv4.tcp_rmem = 4096\t262144\t33554432"]

    assert filters.without_effect(wanted, lines) == {"vm.swappiness": "60", "net.core.x": "absent"}
