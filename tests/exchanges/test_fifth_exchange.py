"""Another exchange is one file and its settings: discovery, drawing, decoder and feed know it then.

Shared memory has room for eight sources, all taken; the newcomer has the place of one of the four.
It is put on the package's path in a process of its own, with the files of the other three.
"""

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import spreadscan.exchanges

HERE = Path(__file__).parent
REPLACED, NEWCOMER = "mexc", "quartz"
PATH_OF = """
    import sys
    import spreadscan.exchanges
    import spreadscan.exchanges._adapter
    import spreadscan.exchanges._wire

    spreadscan.exchanges.__path__ = [sys.argv[1]]
"""


@pytest.fixture
def config_file(make_config):
    """The shipped settings with the newcomer's name in place of the one it replaces."""
    main = make_config({"exchanges.binance.enabled": False, "exchanges.bybit.enabled": False})
    for file in main.parent.glob("*.toml"):
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace(REPLACED, NEWCOMER), encoding="utf-8")
    return main


@pytest.fixture
def run(tmp_path, config_file):
    """Run Python text in a process that knows the newcomer; return what it prints."""
    package = tmp_path / "exchanges"
    shutil.copytree(Path(spreadscan.exchanges.__file__).parent, package)
    (package / f"{REPLACED}.py").unlink()
    shutil.copy(HERE / "fifth" / f"{NEWCOMER}.py", package)

    def run(text, stdin=""):
        script = textwrap.dedent(PATH_OF) + textwrap.dedent(text)
        done = subprocess.run(
            [sys.executable, "-c", script, str(package), str(config_file)],
            input=stdin, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_settings_and_directions_take_the_newcomer(run):
    printed = run(
        """
        from pathlib import Path
        from spreadscan.config import load_config

        config = load_config(Path(sys.argv[2]))
        print([source.name for source in config.active_sources()][-2:])
        print([row.name for row in config.directions])
        """
    )

    assert printed.splitlines() == [
        "['quartz_spot', 'quartz_futures']",
        "['okx_spot_quartz_futures', 'quartz_spot_okx_futures']",
    ]


def test_drawing_has_its_two_feeds(run):
    printed = run(
        """
        from spreadscan.topology import programs

        rows = programs()
        for name in ("feed-quartz-spot", "feed-quartz-futures"):
            print(name, rows[name].health_slot, rows[name].source, "spread-engine" in rows)
        """
    )

    assert printed.splitlines() == [
        "feed-quartz-spot 6 quartz_spot True",
        "feed-quartz-futures 7 quartz_futures True",
    ]


def test_its_frames_are_decoded(run):
    printed = run(
        """
        from spreadscan.exchanges import source_named
        from spreadscan.kernel.extract import Extractor

        source = source_named("quartz_spot")
        extractor = Extractor(source.spec.plan, [("BTC/USDT", 9, 1.0, 1.0)])
        for line in sys.stdin.buffer:
            print(tuple(extractor.decode(line.strip())))
        print(source.adapter.classify(b'{"sorry":["X/USDT"],"id":4}').symbols)
        """,
        stdin='{"tick":["BTC/USDT",[61000.5,2],[61001,"3"]],"at":1750000000000,"n":7}\n',
    )

    quote, refused = printed.splitlines()
    assert quote == ("(0, 9, 61000.5, 2.0, 61001.0, 3.0, 1750000000000000000, 7, 'BTC/USDT')")
    assert refused == "('X/USDT',)"


def test_its_listing_is_paired_with_the_others(run, tmp_path):
    listings = tmp_path / "listings"
    listings.mkdir()
    rows = '[{"pair":"BTC/USDT","open":true,"step":"0.5","lot":"0.001"}]'
    for market in ("spot", "futures"):
        (listings / f"quartz_{market}.json").write_text(f"[{rows}]", encoding="utf-8")
    swap = (
        '{"instId":"BTC-USDT-SWAP","instFamily":"BTC-USDT","settleCcy":"USDT","ctType":"linear",'
        '"ctVal":"0.1","ctMult":"1","ctValCcy":"BTC","state":"live"}'
    )
    spot = '{"instId":"BTC-USDT","baseCcy":"BTC","quoteCcy":"USDT","state":"live"}'
    for name, row in (("okx_spot", spot), ("okx_futures", swap)):
        body = f'{{"code":"0","msg":"","data":[{row}]}}'
        (listings / f"{name}.json").write_text(body, encoding="utf-8")

    printed = run(
        f"""
        from spreadscan.discovery.process import main

        flags = ["--offline={listings}", "--output={tmp_path}/universe", "--json", "--no-validate"]
        raise SystemExit(main(["--config", sys.argv[2], *flags]))
        """
    )

    assert '"okx_spot_quartz_futures":1' in printed
    assert '"quartz_spot_okx_futures":1' in printed
