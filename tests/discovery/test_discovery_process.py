"""`pair-discovery` as a whole, on listings of its own and on the recorded ones."""

import hashlib
import json
import shutil
from itertools import permutations
from pathlib import Path

import pytest

from spreadscan.discovery.process import main
from spreadscan.errors import EXIT_CONFIG, EXIT_TEMPORARY, EXIT_USAGE
from spreadscan.universe import FILES, METADATA, load_universe, read_metadata, sole_writer

RECORDED = Path(__file__).parents[2] / "../shared/data/instruments"


def exchange_info(*rows):
    return {"symbols": list(rows)}


def binance(base, market):
    row = {
        "symbol": f"{base}USDT",
        "status": "TRADING",
        "baseAsset": base,
        "quoteAsset": "USDT",
        "filters": [{"filterType": "PRICE_FILTER", "tickSize": "0.01"}],
    }
    if market == "futures":
        row |= {"contractType": "PERPETUAL", "marginAsset": "USDT"}
    return row


def okx(base, market):
    if market == "spot":
        row = {"instId": f"{base}-USDT", "baseCcy": base, "quoteCcy": "USDT"}
    else:
        row = {
            "instId": f"{base}-USDT-SWAP",
            "instFamily": f"{base}-USDT",
            "settleCcy": "USDT",
            "ctType": "linear",
            "ctVal": "0.1",
            "ctMult": "1",
            "ctValCcy": base,
        }
    return row | {"state": "live"}


def bybit(base, market):
    row = {
        "symbol": f"{base}USDT", "status": "Trading", "baseCoin": base, "quoteCoin": "USDT",
    }  # fmt: skip
    if market == "futures":
        row |= {"contractType": "LinearPerpetual", "settleCoin": "USDT", "deliveryTime": "0"}
    return row


def mexc(base, market):
    if market == "spot":
        return {
            "symbol": f"{base}USDT", "status": "1", "baseAsset": base, "quoteAsset": "USDT",
            "baseAssetPrecision": 2, "quotePrecision": 4,
        }  # fmt: skip
    return {
        "symbol": f"{base}_USDT", "baseCoin": base, "quoteCoin": "USDT", "settleCoin": "USDT",
        "contractSize": 0.01, "priceUnit": 0.1, "volUnit": 1, "minVol": 1, "state": 0,
    }  # fmt: skip


def bodies(coins, market):
    """The listing of every exchange, in its own envelope."""

    def rows(row):
        return [row(coin, market) for coin in coins]

    return {
        "binance": exchange_info(*rows(binance)),
        "bybit": {"retCode": 0, "retMsg": "OK", "result": {"list": rows(bybit)}},
        "okx": {"code": "0", "msg": "", "data": rows(okx)},
        "mexc": exchange_info(*rows(mexc))
        if market == "spot"
        else {"success": True, "code": 0, "data": rows(mexc)},
    }


EXCHANGES = ("binance", "bybit", "okx", "mexc")
DIRECTIONS = [f"{spot}_spot_{futures}_futures" for spot, futures in permutations(EXCHANGES, 2)]


@pytest.fixture
def listings(tmp_path):
    """Write the eight listings; call it again with other coins for the next run."""
    folder = tmp_path / "listings"
    folder.mkdir()

    def write(coins, absent=()):
        for market in ("spot", "futures"):
            for exchange, body in bodies(coins, market).items():
                name = f"{exchange}_{market}"
                file = folder / f"{name}.json"
                file.unlink(missing_ok=True)
                if name not in absent:
                    file.write_text(json.dumps(body), encoding="utf-8")
        return folder

    return write


@pytest.fixture
def discover(config_dir, tmp_path, capsys):
    """Run discovery; return (exit code, summary or None, standard error)."""
    output = tmp_path / "universe"

    def run(folder, *flags):
        code = main(
            [
                f"--config={config_dir / 'config.toml'}",
                f"--output={output}",
                f"--offline={folder}",
                "--json",
                *flags,
            ]
        )
        printed = capsys.readouterr()
        return code, json.loads(printed.out) if printed.out else None, printed.err

    run.output = output
    return run


def ids_in(output):
    return {row.name: row.symbol_id for row in load_universe(output).symbols}


def test_first_run_writes_a_set_that_loads_and_says_what_it_did(discover, listings):
    code, summary, errors = discover(listings(["BTC", "ETH"]))

    assert (code, summary["generation"], summary["num_symbols"]) == (0, 1, 2)
    assert summary["per_direction_counts"] == dict.fromkeys(DIRECTIONS, 2)
    assert summary["failed_sources"] == []
    assert errors.count("\n") == 1
    assert "not yet proven by data" in errors
    assert load_universe(discover.output).legs(5) == [
        ("BTC-USDT-SWAP", 0, 1.0, 0.1), ("ETH-USDT-SWAP", 1, 1.0, 0.1),
    ]  # fmt: skip
    assert load_universe(discover.output).legs(7) == [
        ("BTC_USDT", 0, 1.0, 0.01), ("ETH_USDT", 1, 1.0, 0.01),
    ]  # fmt: skip


def test_asking_for_no_validation_silences_the_note(discover, listings):
    assert discover(listings(["BTC"]), "--no-validate")[2] == ""


def test_metadata_names_the_digest_of_every_other_file(discover, listings):
    discover(listings(["BTC"]))

    digests = read_metadata(discover.output).sha256

    assert digests == {
        name: hashlib.sha256((discover.output / name).read_bytes()).hexdigest() for name in FILES
    }


def test_ids_are_stable_and_a_freed_one_stays_free(discover, listings):
    discover(listings(["B", "C", "D", "E", "F"]))
    discover(listings(["A", "B", "D", "E", "F"]))
    code, summary, _ = discover(listings(["A", "B", "C", "D", "E", "F"]))

    assert (code, summary["generation"]) == (0, 3)
    assert ids_in(discover.output) == {
        "B-USDT": 0, "D-USDT": 2, "E-USDT": 3, "F-USDT": 4, "A-USDT": 5, "C-USDT": 6,
    }  # fmt: skip


def test_failed_source_keeps_its_last_legs_and_the_run_goes_on(discover, listings):
    discover(listings(["BTC", "ETH"]))

    code, summary, errors = discover(listings(["BTC", "ETH", "SOL"], absent=["okx_spot"]))

    assert (code, summary["failed_sources"]) == (0, ["okx_spot"])
    assert summary["per_direction_counts"]["binance_spot_okx_futures"] == 3
    assert summary["per_direction_counts"]["okx_spot_binance_futures"] == 2
    assert "okx_spot" in errors
    assert "kept from the listing of" in (discover.output / "validation_report.txt").read_text()


def test_failed_source_without_a_last_universe_is_left_out_by_name(discover, listings):
    code, summary, errors = discover(listings(["BTC"], absent=["okx_futures"]))

    assert code == 0
    assert "left out" in errors
    assert "okx_futures" in errors
    assert summary["per_direction_counts"]["binance_spot_okx_futures"] == 0
    assert summary["per_direction_counts"]["okx_spot_binance_futures"] == 1


def test_run_without_a_single_pair_ends_with_every_reason(discover, listings):
    absent = [f"{name}_futures" for name in ("binance", "bybit", "okx", "mexc")]
    code, summary, errors = discover(listings(["BTC"], absent=absent))

    assert (code, summary) == (EXIT_TEMPORARY, None)
    assert errors.count("\n") == 1
    assert "no direction has a single pair" in errors
    assert all(name in errors for name in absent)
    assert not (discover.output / METADATA).exists()


def test_empty_listing_is_a_failed_source(discover, listings):
    folder = listings(["BTC"])
    (folder / "okx_spot.json").write_text('{"code":"0","msg":"","data":[]}')

    _, summary, errors = discover(folder)

    assert "okx_spot: found an empty listing" in errors
    assert summary["per_direction_counts"]["okx_spot_binance_futures"] == 0


def test_much_smaller_result_is_refused_unless_forced(discover, listings):
    discover(listings(["A", "B", "C", "D", "E"]))

    code, _, errors = discover(listings(["A", "B", "C"]))

    assert code == EXIT_TEMPORARY
    assert "found 36 pairs" in errors
    assert read_metadata(discover.output).generation == 1
    assert discover(listings(["A", "B", "C"]), "--force")[0] == 0
    assert read_metadata(discover.output).generation == 2


@pytest.mark.parametrize("name", [*FILES, METADATA])
def test_half_renamed_set_is_mended_without_giving_an_id_twice(discover, listings, name):
    discover(listings(["A", "B"]))
    (discover.output / name).write_bytes(b"damage")

    code, _, errors = discover(listings(["A", "B"]))

    assert code == 0
    assert "damaged" in errors
    assert ids_in(discover.output) == {"A-USDT": 2, "B-USDT": 3}


def test_forced_run_after_damage_begins_ids_anew(discover, listings):
    discover(listings(["A", "B"]))
    (discover.output / "symbols.txt").unlink()

    discover(listings(["A", "B"]), "--force")

    assert ids_in(discover.output) == {"A-USDT": 0, "B-USDT": 1}


def test_second_discovery_in_one_folder_is_refused(discover, listings):
    with sole_writer(discover.output):
        code, _, errors = discover(listings(["A"]))

    assert code == EXIT_TEMPORARY
    assert "already running" in errors


def test_authority_of_the_simulator_that_is_absent_is_told(make_config, tmp_path, capsys):
    config = make_config({"sim.ca_file": str(tmp_path / "ca.pem")})

    code = main([f"--config={config}", f"--output={tmp_path / 'universe'}", "--sim"])

    assert code == EXIT_TEMPORARY
    assert "ca.pem: No such file" in capsys.readouterr().err


def test_wrong_command_line_and_wrong_configuration_have_their_own_codes(discover, tmp_path):
    with pytest.raises(SystemExit) as stop:
        discover(tmp_path, "--nonsense")
    assert stop.value.code == EXIT_USAGE
    assert discover(tmp_path, "--config=/nowhere/config.toml")[0] == EXIT_CONFIG


def test_summary_for_people_shows_every_source_and_direction(discover, listings, capsys):
    folder = listings(["BTC"])

    code = main([f"--output={discover.output}", f"--offline={folder}"])

    shown = capsys.readouterr().out
    assert code == 0
    for name in ("binance_spot", "okx_futures", "okx_spot_binance_futures: 1 pairs"):
        assert name in shown


@pytest.mark.skipif(not RECORDED.is_dir(), reason=f"no recorded data: {RECORDED} is absent")
def test_recorded_listings_give_the_known_universe(discover, tmp_path):
    folder = tmp_path / "recorded"
    shutil.copytree(RECORDED, folder)

    code, summary, _ = discover(folder)

    assert code == 0
    assert summary["per_direction_counts"] == {
        "binance_spot_bybit_futures": 274,
        "binance_spot_okx_futures": 135,
        "binance_spot_mexc_futures": 308,
        "bybit_spot_binance_futures": 235,
        "bybit_spot_okx_futures": 160,
        "bybit_spot_mexc_futures": 301,
        "okx_spot_binance_futures": 213,
        "okx_spot_bybit_futures": 233,
        "okx_spot_mexc_futures": 240,
        "mexc_spot_binance_futures": 455,
        "mexc_spot_bybit_futures": 527,
        "mexc_spot_okx_futures": 223,
    }
    excluded = summary["excluded"]
    assert excluded["okx_futures"] == {"kind_inverse": 15, "kind_pre_market": 1, "other_quote": 3}
    assert excluded["binance_futures"]["kind_dated"] == 8
    assert excluded["mexc_futures"] == {
        "kind_inverse": 10, "kind_not_crypto": 1, "other_quote": 62,
    }  # fmt: skip
    legs = {name: leg[1:] for name, *leg in load_universe(discover.output).legs(1)}
    assert legs["1000PEPEUSDT"] == [1000.0, 1000.0]
    assert legs["1MBABYDOGEUSDT"] == [1_000_000.0, 1_000_000.0]
    assert legs["1INCHUSDT"] == [1.0, 1.0]
    swaps = {name: leg[1:] for name, *leg in load_universe(discover.output).legs(5)}
    assert swaps["PEPE-USDT-SWAP"] == [1.0, 10_000_000.0]
    perpetuals = {name: leg[1:] for name, *leg in load_universe(discover.output).legs(3)}
    assert perpetuals["SHIB1000USDT"] == [1000.0, 1000.0]
    ids = ids_in(discover.output)
    contracts = {name: leg for name, *leg in load_universe(discover.output).legs(7)}
    assert contracts["PEPE_USDT"] == [ids["PEPE-USDT"], 1.0, 10_000_000.0]
    assert contracts["FILECOIN_USDT"][0] == ids["FIL-USDT"]
    assert contracts["TRUMPOFFICIAL_USDT"][0] == ids["TRUMP-USDT"]
