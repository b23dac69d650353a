"""`pair-discovery` as a whole, on listings of its own and on the recorded ones."""

import hashlib
import json
import shutil
from itertools import permutations
from pathlib import Path

import pytest

from spreadscan.config import load_config
from spreadscan.discovery.process import main
from spreadscan.discovery.replace import OpenRoute
from spreadscan.errors import EXIT_CONFIG, EXIT_TEMPORARY, EXIT_USAGE
from spreadscan.runtime.lock import RoleLock
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
                "--no-validate",
                *flags,
            ],
            lambda _config: run.open_routes,
        )
        printed = capsys.readouterr()
        return code, json.loads(printed.out) if printed.out else None, printed.err

    run.output = output
    run.open_routes = ()
    return run


@pytest.fixture
def running(config_dir):
    """Something of the pipeline runs, and may know an id under its old name."""
    config = load_config(config_dir / "config.toml")
    lock = RoleLock(config.path(config.runtime.run_dir), "spread-engine")
    yield
    lock.release()


def ids_in(output):
    return {row.name: row.symbol_id for row in load_universe(output).symbols}


def test_first_run_writes_a_set_that_loads_and_says_what_it_did(discover, listings):
    code, summary, errors = discover(listings(["BTC", "ETH"]))

    assert (code, summary["generation"], summary["num_symbols"]) == (0, 1, 2)
    assert summary["per_direction_counts"] == dict.fromkeys(DIRECTIONS, 2)
    assert summary["failed_sources"] == []
    assert errors == ""
    assert summary["validation"] is None
    assert load_universe(discover.output).legs(5) == [
        ("BTC-USDT-SWAP", 0, 1.0, 0.1), ("ETH-USDT-SWAP", 1, 1.0, 0.1),
    ]  # fmt: skip
    assert load_universe(discover.output).legs(7) == [
        ("BTC_USDT", 0, 1.0, 0.01), ("ETH_USDT", 1, 1.0, 0.01),
    ]  # fmt: skip


def test_metadata_names_the_digest_of_every_other_file(discover, listings):
    discover(listings(["BTC"]))

    digests = read_metadata(discover.output).sha256

    assert digests == {
        name: hashlib.sha256((discover.output / name).read_bytes()).hexdigest() for name in FILES
    }


def test_ids_are_stable_and_a_freed_one_is_kept_for_its_symbol(discover, listings, running):
    discover(listings(["B", "C", "D", "E", "F"]))
    discover(listings(["A", "B", "D", "E", "F"]))
    code, summary, _ = discover(listings(["A", "B", "C", "D", "E", "F"]))

    assert (code, summary["generation"]) == (0, 3)
    assert ids_in(discover.output) == {
        "B-USDT": 0, "C-USDT": 1, "D-USDT": 2, "E-USDT": 3, "F-USDT": 4, "A-USDT": 5,
    }  # fmt: skip


def test_freed_id_is_given_again_when_nothing_runs(discover, listings):
    discover(listings(["B", "C", "D"]))
    discover(listings(["B", "D"]), "--force")
    discover(listings(["A", "B", "D"]), "--force")

    assert ids_in(discover.output) == {"A-USDT": 1, "B-USDT": 0, "D-USDT": 2}


def ticker(base, price):
    return {"symbol": f"{base}USDT", "lastPrice": str(price), "quoteVolume": "1000"}


def price_with(folder, prices_by_source):
    """Write the prices of sources whose only ticker answer is a plain list."""
    for name, prices in prices_by_source.items():
        answer = [ticker(base, price) for base, price in prices.items()]
        (folder / f"{name}.tickers.json").write_text(json.dumps([answer]), encoding="utf-8")


def test_listing_that_costs_something_else_is_quarantined_and_told(discover, listings):
    folder = listings(["AA", "BB"])
    price_with(
        folder, {"binance_spot": {"AA": 1.0, "BB": 2.0}, "mexc_spot": {"AA": 9.0, "BB": 2.0}}
    )
    index = {"AA": 1.01, "BB": 2.02}
    marks = [{"symbol": f"{base}USDT", "markPrice": str(mark)} for base, mark in index.items()]
    (folder / "binance_futures.tickers.json").write_text(json.dumps([marks]), encoding="utf-8")

    code, summary, _ = discover(folder)

    assert code == 0
    (finding,) = (row for row in summary["quarantined"] if row["price"] is not None)
    assert (finding["source"], finding["exchange_symbol"]) == ("mexc_spot", "AAUSDT")
    assert finding["price"] == 9.0
    assert "mexc_spot_binance_futures" in finding["lost_pairs"]
    assert summary["per_direction_counts"]["mexc_spot_binance_futures"] == 1
    report = (discover.output / "validation_report.txt").read_text()
    assert "quarantined: mexc_spot AAUSDT not used: it costs 9" in report


def test_turnovers_of_what_is_used_go_to_the_feeds(discover, listings):
    folder = listings(["AA"])
    price_with(folder, {"mexc_spot": {"AA": 1.0, "GONE": 1.0}})
    mark = [[{"symbol": "AAUSDT", "markPrice": "1"}]]
    (folder / "binance_futures.tickers.json").write_text(json.dumps(mark), encoding="utf-8")

    assert discover(folder)[0] == 0

    assert load_universe(discover.output).turnover_usd == {"mexc_spot": {"AAUSDT": 1000.0}}


def test_prices_that_cannot_be_read_are_told_and_nothing_else_stops(discover, listings):
    folder = listings(["AA"])
    (folder / "okx_spot.tickers.json").write_text("[<html>]", encoding="utf-8")
    (folder / "mexc_spot.tickers.json").write_text('["<html>"]', encoding="utf-8")

    code, summary, errors = discover(folder)

    assert (code, summary["num_symbols"]) == (0, 1)
    assert "okx_spot: prices are not compared" in errors
    assert "mexc_spot: prices are not compared" in errors
    assert summary["unproven"] == 8


def test_summary_says_what_changed(discover, listings, running):
    discover(listings(["A", "B", "C", "D", "E", "F"]))
    _, summary, _ = discover(listings(["B", "C", "D", "E", "F", "X"]))

    changed = summary["changes"]
    assert (changed["symbols_added"], changed["symbols_removed"]) == (["X-USDT"], ["A-USDT"])
    assert (
        changed["pairs_added"] == changed["pairs_removed"] == dict.fromkeys(sorted(DIRECTIONS), 1)
    )


def test_word_about_a_listing_that_is_gone_is_reported(make_config, listings, tmp_path, capsys):
    config = make_config({})
    folder = listings(["BTC"])

    code = main(
        [f"--config={config}", f"--output={tmp_path / 'u'}", f"--offline={folder}", "--no-validate"]
    )

    assert code == 0
    assert "bybit_futures no longer lists RAYDIUMUSDT" in capsys.readouterr().out


def test_pair_of_two_coins_goes_whatever_is_open(discover, listings):
    coins = ["A", "B", "C", "D", "E", "F"]
    discover(listings(coins))
    discover.open_routes = [OpenRoute("okx_spot_binance_futures", "F-USDT")]
    folder = listings(coins)
    prices = dict.fromkeys(coins, 1.0)
    price_with(folder, {"binance_spot": prices | {"F": 5.0}, "mexc_spot": prices})
    (folder / "okx_spot.tickers.json").write_text(
        json.dumps(
            [{"code": "0", "msg": "", "data": [
                {"instId": f"{coin}-USDT", "last": "7" if coin == "F" else "1"} for coin in coins
            ]}]
        ),
        encoding="utf-8",
    )  # fmt: skip

    code, summary, _ = discover(folder)

    assert code == 0
    assert summary["per_direction_counts"]["okx_spot_binance_futures"] == 5


def test_pair_that_the_exchange_has_ended_may_go_with_an_open_episode(discover, listings):
    discover(listings(["A", "B", "C", "D", "E", "F"]))
    discover.open_routes = [OpenRoute("okx_spot_binance_futures", "F-USDT")]

    assert discover(listings(["A", "B", "C", "D", "E"]))[0] == 0


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
def test_damaged_set_is_mended_without_giving_an_id_twice(discover, listings, running, name):
    discover(listings(["A", "B"]))
    (discover.output / name).write_bytes(b"damage")

    code, _, errors = discover(listings(["A", "B"]))

    assert code == 0
    assert "damaged" in errors
    assert ids_in(discover.output) == {"A-USDT": 2, "B-USDT": 3}


def test_row_that_cannot_be_read_does_not_spoil_its_listing(discover, listings):
    folder = listings(["A", "B"])
    listing = json.loads((folder / "binance_spot.json").read_bytes())
    listing["symbols"][0]["filters"][0]["tickSize"] = "abc"
    (folder / "binance_spot.json").write_text(json.dumps(listing), encoding="utf-8")

    code, summary, _ = discover(folder)

    assert (code, summary["failed_sources"]) == (0, [])
    assert summary["excluded"]["binance_spot"] == {"defective": 1}
    assert summary["per_direction_counts"]["binance_spot_okx_futures"] == 1
    report = (discover.output / "validation_report.txt").read_text()
    assert "binance_spot: AUSDT cannot be read: found 'abc' in a listing" in report


def test_run_that_reads_no_listing_at_all_changes_nothing(discover, listings, tmp_path):
    discover(listings(["A", "B"]))

    code, summary, errors = discover(tmp_path / "nowhere")

    assert (code, summary) == (EXIT_TEMPORARY, None)
    assert "found no listing at all, the last universe stays" in errors
    assert read_metadata(discover.output).generation == 1


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

    code = main([f"--output={discover.output}", f"--offline={folder}", "--no-validate"])

    shown = capsys.readouterr().out
    assert code == 0
    for name in ("binance_spot", "okx_futures", "12 pairs"):
        assert name in shown


@pytest.mark.skipif(not RECORDED.is_dir(), reason=f"no recorded data: {RECORDED} is absent")
def test_recorded_listings_give_the_known_universe(discover, tmp_path):
    folder = tmp_path / "recorded"
    shutil.copytree(RECORDED, folder)

    code, summary, _ = discover(folder)

    assert code == 0
    assert summary["per_direction_counts"] == {
        "binance_spot_bybit_futures": 275,
        "binance_spot_okx_futures": 135,
        "binance_spot_mexc_futures": 307,
        "bybit_spot_binance_futures": 234,
        "bybit_spot_okx_futures": 160,
        "bybit_spot_mexc_futures": 301,
        "okx_spot_binance_futures": 212,
        "okx_spot_bybit_futures": 236,
        "okx_spot_mexc_futures": 240,
        "mexc_spot_binance_futures": 454,
        "mexc_spot_bybit_futures": 529,
        "mexc_spot_okx_futures": 224,
    }
    excluded = summary["excluded"]
    assert excluded["okx_futures"] == {"kind_inverse": 15, "kind_pre_market": 1, "other_quote": 3}
    assert excluded["binance_futures"] == {
        "delisting": 1, "kind_dated": 8, "kind_not_crypto": 4, "kind_pre_market": 5,
        "not_trading": 70, "other_quote": 38,
    }  # fmt: skip
    assert excluded["bybit_futures"] == {"delisting": 1}
    assert excluded["mexc_spot"] == {"not_trading": 8, "other_quote": 282}
    assert excluded["binance_spot"] == {"other_quote": 872}
    assert 550 <= summary["num_symbols"] <= 700
    assert summary["stale_words"] == []
    assert excluded["mexc_futures"] == {
        "delisting": 11, "kind_inverse": 10, "kind_not_crypto": 1, "other_quote": 62,
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
    assert not {name for name in ids if "TEST" in name or name in {"XAU-USDT", "XAG-USDT"}}
    every = load_universe(discover.output)
    listed = {name for source_id in range(8) for name, *_ in every.legs(source_id)}
    assert not {name for name in listed if "-26DEC25" in name or name in {"XAUUSDT", "XAU_USDT"}}
    contracts = {name: leg for name, *leg in load_universe(discover.output).legs(7)}
    assert contracts["PEPE_USDT"] == [ids["PEPE-USDT"], 1.0, 10_000_000.0]
    assert contracts["FILECOIN_USDT"][0] == ids["FIL-USDT"]
    assert contracts["TRUMPOFFICIAL_USDT"][0] == ids["TRUMP-USDT"]
    assert contracts["PUMPFUN_USDT"][0] == ids["PUMP-USDT"]
    assert contracts.get("TRUMP_USDT", [None])[0] != ids["TRUMP-USDT"]
