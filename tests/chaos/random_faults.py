"""Random faults for a run: which, where, when; the same seed is the same list."""

import random

import tomli_w

from spreadscan.sim.universe import coins
from spreadscan.sim.world import build_venues

EXCHANGES = ("binance", "bybit", "okx", "mexc")
MARKETS = ("spot", "futures")
# By kind: how long it lasts at most, and what else it says. `None` is momentary.
KINDS = {
    "drop": (None, {}),
    "stall": (8.0, {}),
    "mute": (15.0, {}),
    "garbage": (8.0, {"share": 0.2}),
    "duplicate": (8.0, {"share": 0.3}),
    "reorder": (8.0, {"share": 0.2}),
    "delay": (8.0, {"delay_ms": 700.0}),
    "deltas": (8.0, {}),
    "renumber": (None, {}),
    "429": (6.0, {}),
    "shutdown": (4.0, {}),
    "maintenance": (5.0, {}),
    "lifetime": (6.0, {"life_s": 3.0}),
    "skew": (8.0, {"skew_ms": 4000}),
}
SHUTS_DOORS = {"429"}
# Only these ever did so: the others have no way to say it, and their clients none to know.
ONLY_AT = {"deltas": ("bybit",), "renumber": ("bybit", "okx")}
# An exchange whose ids begin anew says so by an id or a time of its own; one that at the same time
# withholds that message, or whose clock jumps, contradicts itself.
CONTRADICTIONS = {
    "renumber": {"stall", "mute", "reorder", "delay", "skew"},
    "skew": {"renumber"},
}
# A clock that went back by skew_ms has caught up after as long.
MARGIN_S = 6.0


def random_faults(seed, *, first_s, last_s, symbols, interval_s=(2.0, 4.0)):
    """Return faults that begin between two moments of a run.

    Every kind comes once before any comes again. Half of them hit one symbol where the kind can be
    about one.
    """
    chance = random.Random(seed)
    listed = symbols_by_source(symbols)
    faults, deck, at_s = [], [], first_s
    while at_s < last_s:
        deck = deck or chance.sample(list(KINDS), len(KINDS))
        fault = one_fault(chance, deck.pop(), round(at_s, 2), listed)
        if any(contradict(fault, other) for other in faults):
            deck.insert(0, fault["kind"])  # another time, another place
        else:
            faults.append(fault)
            if fault["kind"] in SHUTS_DOORS:
                # Nobody meets a shut door while every connection stands.
                drop_s = round(fault["at_s"] + 0.2, 2)
                faults.append({"at_s": drop_s, "kind": "drop", "source": fault["source"]})
        at_s += chance.uniform(*interval_s)
    return faults


def one_fault(chance, kind, at_s, listed):
    longest_s, more = KINDS[kind]
    exchange = chance.choice(ONLY_AT.get(kind, EXCHANGES))
    source = f"{exchange}_{chance.choice(MARKETS)}"
    fault = {"at_s": at_s, "kind": kind, "source": source} | more
    if longest_s is not None:
        fault["for_s"] = round(chance.uniform(longest_s / 2, longest_s), 2)
    if kind == "skew":
        fault["skew_ms"] *= chance.choice((-1, 1))
    is_about_one = kind in {"stall", "garbage", "duplicate", "reorder", "delay", "deltas"}
    if kind == "mute" or (is_about_one and chance.random() < 0.5):
        fault["symbol"] = chance.choice(listed[source])
    return fault


def contradict(one, other):
    if one["source"].partition("_")[0] != other["source"].partition("_")[0]:
        return False
    if abs(one["at_s"] - other["at_s"]) > MARGIN_S + max(
        one.get("for_s", 0), other.get("for_s", 0)
    ):
        return False
    return other["kind"] in CONTRADICTIONS.get(one["kind"], ()) or one["kind"] in (
        CONTRADICTIONS.get(other["kind"], ())
    )


def symbols_by_source(count):
    venues = build_venues(EXCHANGES, len(coins(count)))
    return {venue.source: [row.exchange_symbol for row in venue.listings] for venue in venues}


def write_scenario(file, faults):
    file.write_text(tomli_w.dumps({"fault": faults}), encoding="utf-8")
    return file


def end_s(fault):
    """Return when a fault is over, in seconds of the run."""
    return fault["at_s"] + fault.get("for_s", 0.0)


def last_end_s(faults, source, exchange_symbol):
    """Return when the last fault of one listing is over; 0 for one that was spared."""
    return max(
        (
            end_s(fault)
            for fault in faults
            if fault["source"] == source and fault.get("symbol", exchange_symbol) == exchange_symbol
        ),
        default=0.0,
    )
