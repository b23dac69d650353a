"""Every role says what it takes: defaults, argument specification and README agree."""

import re

import pytest
from plays import ANSIBLE

yaml = pytest.importorskip("yaml", reason="comes with `make deploy-test`")

pytestmark = pytest.mark.deploy

ROLES = sorted(path.name for path in (ANSIBLE / "roles").iterdir() if path.is_dir())


def defaults_of(role):
    return yaml.safe_load((ANSIBLE / "roles" / role / "defaults/main.yml").read_text())


def options_of(role):
    spec = yaml.safe_load((ANSIBLE / "roles" / role / "meta/argument_specs.yml").read_text())
    return spec["argument_specs"]["main"]["options"]


def test_there_is_one_role_a_concern():
    assert ROLES == [
        "cpu_isolation", "hugepages", "monitoring", "os_tuning", "spreadscan", "units",
    ]  # fmt: skip


@pytest.mark.parametrize("role", ROLES)
def test_defaults_and_argument_specification_name_the_same(role):
    assert list(options_of(role)) == list(defaults_of(role))
    assert all(name.startswith(f"{role}_") for name in defaults_of(role))


@pytest.mark.parametrize("role", ROLES)
def test_readme_says_what_every_variable_is_for(role):
    text = (ANSIBLE / "roles" / role / "README.md").read_text()

    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", text, re.MULTILINE)

    assert [name for name, _ in rows] == list(defaults_of(role))
    assert all(len(words) > 20 for _, words in rows)
