"""The whole pipeline under faults raises no phantom signal, breaks no limit, comes back, grows not.

The exchanges are simulated and know the true prices at every instant; ``oracle.py`` says what a
phantom is.
"""

import collections
import random
import sys

import numpy as np
import pytest
from fault_run import IN_FLIGHT_S
from oracle import Kind
from random_faults import end_s, random_faults

from spreadscan.exchanges import sources
from spreadscan.sim.truth import Fate

SYMBOLS = 64
# Everything runs by then, also on a busy machine; discovery is not what is under test here.
FIRST_S = 25.0
FRESH_WITHIN_S = 30.0
QUIET_S = 35.0
# Fitted over the last half of the run, so that what is loaded or allocated once at the beginning
# does not hide a leak. Sampling a few dozen times cannot tell less from an allocator's pages.
MAX_GROWTH_KIB = 3 * 1024
MIN_SIGNALS = 100
MIN_LATE_LEGS = 10
# How late a planted leg is: past what may be in flight, within what the engine lets pass by age.
LATE_NS = 2_000_000_000, 9_000_000_000
IN_FLIGHT_NS = round(IN_FLIGHT_S * 1e9)
SEED = 20


def growth_kib(run):
    """Return by how much each process grew in the last half of the run."""
    return {name: fitted_growth(samples) for name, samples in run.eyes.anonymous_kib.items()}


def fitted_growth(samples):
    """Return the rise of the line through the last half of samples that are equally far apart."""
    last = samples[len(samples) // 2 :]
    if len(last) < 2:
        return 0
    slope, _ = np.polyfit(range(len(last)), last, 1)
    return round(slope * (len(last) - 1))


def figures_of(run):
    """Return what a run that has ended measured, in one line; ``pytest -rP`` shows it."""
    kinds = collections.Counter(v.kind.name for v in run.verdicts(run.eyes.ring.signals()))
    lates_s = run.late(0.0).values()
    return (
        f"{len(run.faults)} faults, {dict(kinds)} signals, fresh {max(lates_s, default=0.0)} s "
        f"after the last fault at most, grown by KiB: {growth_kib(run)}"
    )


def late_leg(record, departures):
    """Let a signal tell one of its legs when its successor has left; return whether there is one.

    The ages are honest, and mostly below the engine's limit: only the truth tells that it is late.

    Args:
        record: of a signal; changed.
        departures: (source id, symbol id): times and numbers of what left, in order of time.
    """
    signal_ns = int(record["time_ns"])
    for side in ("spot", "futures"):
        times, numbers = departures[int(record[f"{side}_source"]), int(record["symbol_id"])]
        here = np.searchsorted(times, signal_ns + IN_FLIGHT_NS, side="right")
        # From here on, what stood at the signal is succeeded, and not told again.
        newer = np.flatnonzero(numbers[here:] > numbers[:here].max(initial=0))
        if not len(newer):
            continue
        late_ns = int(times[here + newer[0]]) + IN_FLIGHT_NS + 1_000_000 - signal_ns
        late_ns = max(late_ns, LATE_NS[0])
        until = np.searchsorted(times, signal_ns + late_ns + IN_FLIGHT_NS, side="right")
        is_told_again = numbers[here + newer[0] : until].min() <= numbers[:here].max(initial=0)
        if late_ns <= LATE_NS[1] and not is_told_again:
            record["time_ns"] += late_ns
            for name in ("spot_age_us", "futures_age_us"):
                record[name] += late_ns // 1000
            return True
    return False


def planted(signals, departures):
    """Make of every signal one that was never true: what a broken reader or a lost update makes."""
    chance = random.Random(SEED)
    corrupted = signals.copy()
    for record in corrupted:
        other = signals[chance.randrange(len(signals))]
        match chance.randrange(5):
            case 0:
                if not late_leg(record, departures):  # it stood for that long: true to the end
                    record["time_ns"] += 15_000_000_000
            case 1:  # a price that never was, with an honest spread
                record["spot_ask"] *= 1.001
                ask, bid = float(record["spot_ask"]), float(record["futures_bid"])
                record["gross_bps"] = (bid - ask) / ask * 1e4
            case 2:  # spread of another moment
                record["gross_bps"] += 1.0
            case 3:  # contracts for coins
                record["futures_bid_qty"] *= 10.0
            case _:  # another symbol's prices
                symbol_id = int(other["symbol_id"])
                if symbol_id == record["symbol_id"]:
                    symbol_id ^= 1
                record["symbol_id"] = symbol_id
    return corrupted


def troubles_of(run, status, fresh_within_s=FRESH_WITHIN_S):
    """Return everything that is wrong with a run that has ended; empty if nothing is."""
    signals = run.eyes.ring.signals()
    verdicts = run.verdicts(signals)
    # The same oracle, at the same run, shown what never was.
    judged = run.verdicts(planted(signals, run.departures()))
    missed = [verdict for verdict in judged if verdict.kind is not Kind.PHANTOM]
    superseded = sum("its successor had left" in verdict.reason for verdict in judged)
    kinds = collections.Counter(verdict.kind.name for verdict in verdicts)
    unusable = [
        f"{source} {symbol}"
        for (source, symbol, _), is_usable in zip(
            run.eyes.freshness.listings, run.eyes.freshness.usable, strict=True
        )
        if not is_usable
    ]
    found = {
        "phantoms": [verdict.reason for verdict in verdicts if verdict.kind is Kind.PHANTOM],
        "planted phantoms that passed": missed,
        "legs planted late, too few": superseded < MIN_LATE_LEGS and superseded,
        "signals the observer missed": run.eyes.ring.lost,
        "limit overruns": run.overruns(),
        "not fresh in time, by seconds": run.late(fresh_within_s),
        "not usable at the end": unusable,
        "grown by KiB": {
            name: kib for name, kib in growth_kib(run).items() if kib > MAX_GROWTH_KIB
        },
        "died": sorted(run.eyes.died),
        "exit status": status,
        "errors": run.errors if status else "",
        # A run that says nothing proves nothing.
        "too few signals": kinds["TRUE"] < MIN_SIGNALS and dict(kinds),
        "faults that never came": len(run.faults) - run.simulator_log.count("fault at"),
    }
    return {name: trouble for name, trouble in found.items() if trouble}


def rows_that_never_went_deaf(run):
    deaf = set(run.truth.records["row"][run.truth.records["fate"] == Fate.DEAF].tolist())
    return [name for row, name in enumerate(run.truth.preface.rows) if row not in deaf]


def check_fault_run(run, after_s, fresh_within_s=FRESH_WITHIN_S):
    """Judge a run that goes on for so long after all are usable again, QUIET_S at most."""
    assert len({fault["kind"] for fault in run.faults}) >= 12
    over_s = max(end_s(fault) for fault in run.faults)
    run.wait_until_s(over_s)
    run.wait_until_fresh(over_s + QUIET_S)
    run.wait_until_s(min(run.second + after_s, over_s + QUIET_S))
    status = run.stop()
    sys.stdout.write(f"{figures_of(run)}\n")

    assert troubles_of(run, status, fresh_within_s) == {}


def test_slow_leak_is_growth_and_what_is_loaded_once_is_none():
    chance = random.Random(SEED)
    flat = [20_000 + chance.choice((0, 4, 256)) for _ in range(90)]
    loaded = [kib + (12_000 if second > 20 else 0) for second, kib in enumerate(flat)]
    leaking = [kib + 100 * second for second, kib in enumerate(flat)]

    assert abs(fitted_growth(flat)) < 200
    assert abs(fitted_growth(loaded)) < 200
    assert fitted_growth(leaking) > MAX_GROWTH_KIB
    assert fitted_growth([]) == 0


@pytest.mark.timeout(300)
def test_pipeline_under_random_faults_signals_only_what_was_true(fault_run):
    faults = random_faults(SEED, first_s=FIRST_S, last_s=FIRST_S + 48.0, symbols=SYMBOLS)

    # Beside other tests; the promise itself is what ten quiet minutes are held to.
    check_fault_run(fault_run(faults), after_s=5.0, fresh_within_s=2 * FRESH_WITHIN_S)


@pytest.mark.nightly
def test_pipeline_under_ten_minutes_of_random_faults_signals_only_what_was_true(fault_run):
    faults = random_faults(SEED + 1, first_s=FIRST_S, last_s=560.0, symbols=SYMBOLS)

    check_fault_run(fault_run(faults), after_s=QUIET_S)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "every_s",
    [
        # While they still come back, and once all of them are there again.
        pytest.param(1.1, marks=pytest.mark.nightly),
        pytest.param(12.0, marks=pytest.mark.nightly),
    ],
)
def test_all_connections_cut_ten_times_in_a_row_break_no_limit_and_come_back(fault_run, every_s):
    cuts = [FIRST_S + every_s * number for number in range(10)]
    run = fault_run(
        [{"at_s": cut, "kind": "drop", "source": source} for cut in cuts for source in sources()]
    )
    run.wait_until_s(cuts[-1] + 1.0)

    run.wait_until_fresh(cuts[-1] + QUIET_S)
    status = run.stop()

    assert troubles_of(run, status) == {}
    # They were really cut.
    assert rows_that_never_went_deaf(run) == []
