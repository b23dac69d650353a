"""The file of the truth: every quote of every row, when it came about and what became of it."""

import pytest

from spreadscan.errors import SpreadscanError
from spreadscan.sim.faults import Fault
from spreadscan.sim.scenario import Scenario
from spreadscan.sim.simulation import Simulation
from spreadscan.sim.truth import TRUTH_DTYPE, Fate, load_truth

SOURCE, SYMBOL = "okx_spot", "BTC-USDT"
SUBSCRIBE = {"op": "subscribe", "args": [{"channel": "bbo-tbt", "instId": SYMBOL}]}


@pytest.fixture
def told(in_world, tmp_path, reader, until):
    """What the file says about one row after a client has lived through some faults."""

    def tell(body, *faults):
        async def life(world):
            row = world.simulation.row(SOURCE, SYMBOL)
            async with world.connect(SOURCE) as socket:
                client = reader(socket)
                await client.send(SUBSCRIBE)
                await until(lambda: world.simulation.hub.listeners([row]))
                await body(world, row, client)

        scenario = Scenario(fault=tuple(_fault(**fault) for fault in faults))
        file = tmp_path / "truth.bin"
        in_world(life, truth=file, scenario=scenario)
        truth = load_truth(file)
        index = truth.preface.rows.index((SOURCE, SYMBOL))
        return truth.records[truth.records["row"] == index]

    return tell


def _fault(**values):

    return Fault(**{"at_s": 0.0, "source": SOURCE, **values})


def test_quotes_that_left_stand_with_time_prices_and_id_as_the_market_showed_them(told):
    shown = []

    async def body(world, row, _client):
        for _ in range(3):
            quote = world.step_until_changed(row)
            shown.append((round(world.clock.now_s * 1e9), quote))

    records = told(body)

    # First the snapshot on subscribe, last the end of the listening.
    assert records["fate"].tolist() == [Fate.LEFT] * 4 + [Fate.DEAF]
    assert records["number"].tolist() == [0, 1, 2, 3, 3]
    for record, (time_ns, quote) in zip(records[1:4], shown, strict=True):
        assert (record["time_ns"], record["update_id"]) == (time_ns, quote.update_id)
        assert record["bid"] == pytest.approx(quote.bid_ticks * 0.1)
        assert record["ask"] == pytest.approx(quote.ask_ticks * 0.1)
        assert 0 < record["bid_qty"] < 1e6
        assert 0 < record["ask_qty"] < 1e6


def test_quotes_before_the_first_listener_are_unheard(in_world, tmp_path):
    file = tmp_path / "truth.bin"

    async def body(world):
        for _ in range(50):
            world.clock.now_s += world.simulation.market.step_s
            world.simulation.step()

    in_world(body, truth=file)

    records = load_truth(file).records
    assert len(records) > 50
    assert set(records["fate"]) == {Fate.UNHEARD}


def test_what_a_stall_keeps_back_is_held(told):
    async def body(world, row, _client):
        world.simulation.tick()
        world.step_until_changed(row)
        world.tick_after(20.0)
        world.step_until_changed(row)

    records = told(body, {"kind": "stall", "at_s": 0.0, "for_s": 10.0})

    assert records["fate"].tolist() == [Fate.LEFT, Fate.HELD, Fate.LEFT, Fate.DEAF]


def test_a_delayed_quote_is_held_and_leaves_later_unless_it_was_overtaken(told):
    async def body(world, row, _client):
        world.simulation.tick()
        world.step_until_changed(row)  # 1: leaves late
        world.tick_after(0.6)
        world.step_until_changed(row)  # 2: still under way when the fault is over
        world.tick_after(10.0 - world.clock.now_s % 1000.0 + 0.01)
        world.step_until_changed(row)  # 3

    records = told(body, {"kind": "delay", "for_s": 10.0, "delay_ms": 500.0})

    found = [(Fate(record["fate"]).name, int(record["number"])) for record in records]
    assert found[:4] == [("LEFT", 0), ("HELD", 1), ("LEFT", 1), ("HELD", 2)]
    assert found[-2:] == [("LEFT", 3), ("DEAF", 3)]


def test_a_reordered_quote_is_held_and_its_successor_leaves(told):
    async def body(world, row, _client):
        world.simulation.tick()
        for _ in range(4):
            world.step_until_changed(row)

    records = told(body, {"kind": "reorder", "share": 1.0, "for_s": 1e6})

    pairs = [Fate.HELD, Fate.LEFT] * 2
    assert records["fate"].tolist() == [Fate.LEFT, *pairs, Fate.DEAF]


def test_garbage_in_front_of_a_quote_does_not_keep_it_back(told):
    async def body(world, row, _client):
        world.simulation.tick()
        world.step_until_changed(row)

    records = told(body, {"kind": "garbage", "share": 1.0, "for_s": 1e6})

    assert records["fate"].tolist() == [Fate.LEFT, Fate.LEFT, Fate.DEAF]


def test_ids_that_begin_anew_are_another_quote_of_the_row(told):
    async def body(world, _row, _client):
        world.tick_after(1.0)

    records = told(body, {"kind": "renumber", "at_s": 0.5})

    assert records["number"].tolist() == [0, 1, 1]
    assert records["update_id"].tolist()[1] == 1


def test_a_record_that_was_cut_off_is_left_out(tmp_path):
    file = tmp_path / "truth.bin"
    file.write_bytes(b'{"started_ns":5,"rows":[["okx_spot","BTC-USDT"]]}\n' + bytes(100))

    truth = load_truth(file)

    assert truth.preface.started_ns == 5
    assert len(truth.records) == 100 // TRUTH_DTYPE.itemsize


def test_a_file_that_cannot_be_written_is_one_clear_line(settings, clock, tmp_path):
    with pytest.raises(SpreadscanError, match="cannot write: No such file or directory"):
        Simulation(settings(truth=tmp_path / "absent" / "truth.bin"), clock.sim_clock())
