"""One route, all the way from its two quotes to whether it may signal. Pure: values in, values out.

The steps and gates are those of the engine's pass (``kernel/scan_pass.pxd``), in its order, and the
formulas those of ``engine/spread.py``.
"""

import math
from collections.abc import Sequence

import msgspec

from spreadscan.engine.spread import (
    entry_spread_bps,
    executable_usd,
    exit_spread_bps,
    net_after_funding_bps,
    settlements_within,
    z_score,
)
from spreadscan.model import SignalType, SlotFlag
from spreadscan.ops.explanation import (
    Explanation,
    FundingPart,
    GateRow,
    LastSignal,
    LegReading,
    LegRow,
    Money,
    Reading,
    UsualPart,
)
from spreadscan.shm.counters import Gate
from spreadscan.shm.layout import DELAY_NOT_MEASURED

__all__ = ["explained"]

QUARANTINE = SlotFlag.REFUSED | SlotFlag.LATE | SlotFlag.HELD
HOUR_MS = 3_600_000.0


def explained(reading: Reading) -> Explanation:
    """Return the waterfall of a route."""
    money = _money(reading)
    funding = _funding(reading)
    if money is not None and funding.known and funding.settlements is not None:
        assert reading.funding is not None
        left = net_after_funding_bps(
            money.net_bps, funding.settlements, float(reading.funding["rate"])
        )
        money = msgspec.structs.replace(money, net_after_funding_bps=left)
    is_open = None if reading.state is None else bool(reading.state["is_open"])
    is_resumed = bool(is_open) and _is_of_an_earlier_engine(reading)
    would = _would(reading, money, is_open=is_open, is_resumed=is_resumed)
    gates = _gates(reading, money, would)
    return Explanation(
        symbol=reading.symbol,
        direction=reading.direction.name,
        engine=reading.engine_state,
        is_open=is_open,
        is_resumed=is_resumed,
        would=would,
        verdict=_verdict(reading, would, gates),
        spot=_leg(reading, reading.spot),
        futures=_leg(reading, reading.futures),
        money=money,
        funding=funding,
        usual=_usual(reading, money),
        gates=gates,
        last_signal=_last(reading),
    )


def _leg(reading: Reading, leg: LegReading) -> LegRow:
    quote = leg.quote
    is_priced = quote is not None and quote["received_ns"] > 0

    def of(name: str) -> float | None:
        return float(quote[name]) if quote is not None and is_priced else None

    taker_bps, maker_bps = leg.fees.taker_of(reading.symbol), leg.fees.maker_of(reading.symbol)
    return LegRow(
        source=leg.source,
        bid=of("bid"),
        ask=of("ask"),
        bid_qty=of("bid_qty"),
        ask_qty=of("ask_qty"),
        age_ms=_age_ms(reading, leg) if is_priced else None,
        waited_ms=quote["publish_delay_ns"] / 1e6
        if quote is not None and is_priced and quote["publish_delay_ns"] != DELAY_NOT_MEASURED
        else None,
        flags=_flags(leg),
        taker_bps=taker_bps,
        maker_bps=maker_bps,
    )


def _age_ms(reading: Reading, leg: LegReading) -> float:
    assert leg.quote is not None
    return max(0, reading.now_ns - int(leg.quote["received_ns"])) / 1e6


def _flags(leg: LegReading) -> list[str]:
    bits = int(leg.quote["flags"]) if leg.quote is not None else 0
    return [flag.name.lower() for flag in SlotFlag if bits & flag]


def _money(reading: Reading) -> Money | None:
    spot, futures = reading.spot.quote, reading.futures.quote
    if spot is None or futures is None or not (spot["ask"] > 0 and futures["bid"] > 0):
        return None
    gross = entry_spread_bps(float(spot["ask"]), float(futures["bid"]))
    fees = 2 * sum(leg.fees.taker_of(reading.symbol) for leg in (reading.spot, reading.futures))
    usd = executable_usd(
        float(spot["ask"]), float(spot["ask_qty"]), float(futures["bid"]), float(futures["bid_qty"])
    )
    return Money(
        gross_bps=gross,
        fees_bps=fees,
        net_bps=gross - fees,
        net_after_funding_bps=None,
        exit_bps=exit_spread_bps(float(spot["bid"]), float(futures["ask"])),
        executable_usd=float(usd),
    )


def _funding(reading: Reading) -> FundingPart:
    found, limits = reading.funding, reading.limits
    why_not, settlements, bps = _why_funding_is_unknown(reading), None, None
    if not why_not and found is not None:
        settlements = int(
            settlements_within(
                reading.now_ms,
                limits.holding_h * HOUR_MS,
                float(found["next_settlement_ms"]),
                float(found["interval_s"]) * 1_000.0,
            )
        )
        bps = settlements * float(found["rate"]) * 10_000.0
    is_there = found is not None and found["received_ns"] > 0
    return FundingPart(
        known=not why_not,
        why_not=why_not,
        rate=_finite(found["rate"]) if found is not None and is_there else None,
        interval_h=(_finite(found["interval_s"]) or 0.0) / 3600 or None
        if found is not None and is_there
        else None,
        next_settlement_ms=int(found["next_settlement_ms"]) or None
        if found is not None and is_there
        else None,
        age_s=_age_s(reading, found["received_ns"]) if found is not None and is_there else None,
        holding_h=limits.holding_h,
        settlements=settlements,
        bps=bps,
    )


def _why_funding_is_unknown(reading: Reading) -> str:
    found = reading.funding
    if found is None:
        return "its feed is writing, or died writing"
    if found["received_ns"] <= 0:
        return "its feed has not told it"
    age_s = _age_s(reading, found["received_ns"])
    if age_s > reading.limits.max_funding_age_s:
        return f"{age_s:.0f} s old, at most {reading.limits.max_funding_age_s:g} s"
    if not found["interval_s"] > 0:
        return "the interval is not known"
    if found["next_settlement_ms"] <= 0:
        return "the next settlement is not known"
    return "" if math.isfinite(found["rate"]) else "the rate is not known"


def _usual(reading: Reading, money: Money | None) -> UsualPart:
    found = reading.baseline
    if found is None or found["samples"] == 0:
        return UsualPart(median_bps=None, mad_bps=None, samples=0, age_s=None, z_score=None)
    median, mad = float(found["median_bps"]), float(found["mad_bps"])
    age_s = _age_s(reading, found["updated_ns"])
    has_score = money is not None and mad > 0 and age_s <= reading.limits.max_baseline_age_s
    return UsualPart(
        median_bps=_finite(median),
        mad_bps=_finite(mad),
        samples=int(found["samples"]),
        age_s=age_s,
        z_score=z_score(money.gross_bps, median, mad) if money and has_score else None,
    )


def _is_of_an_earlier_engine(reading: Reading) -> bool:
    """Whether the route's last signal was sent before the present engine, or the next one, began.

    An engine takes such a route over as resumed until it says something of it itself.
    """
    assert reading.state is not None
    started_ns = reading.engine_started_ns
    return started_ns is None or int(reading.state["time_ns"]) < started_ns


def _would(reading: Reading, money: Money | None, *, is_open: bool | None, is_resumed: bool) -> str:
    """Return what the engine's ``kind_of`` says."""
    limits = reading.limits
    if money is None:
        return "nothing"
    if not is_open:
        return "open" if money.net_bps >= limits.open_net_bps else "nothing"
    if money.net_bps <= limits.rearm_net_bps:
        return "close"
    if is_resumed:
        return "open" if money.net_bps >= limits.open_net_bps else "nothing"
    assert reading.state is not None
    moved = abs(money.net_bps - float(reading.state["net_bps"]))
    return "update" if moved >= limits.update_step_bps else "nothing"


def _gates(reading: Reading, money: Money | None, would: str) -> list[GateRow]:
    """Return every gate in the engine's order."""
    limits, control = reading.limits, reading.control
    legs = (reading.spot, reading.futures)

    def row(gate: Gate, passes: bool | None, detail: str) -> GateRow:  # noqa: FBT001
        return GateRow(
            name=gate.name.lower(),
            passes=passes,
            detail=detail,
            held_back=int(reading.suppressed[gate]),
        )

    held = _pauses(reading)
    rows = [row(Gate.KILLED, not control.is_killed, control.reason if control.is_killed else "")]
    rows += [row(gate, *_leg_gate(reading, legs, gate)) for gate in LEG_GATES]
    rows.append(row(Gate.PAUSED, not held, ", ".join(held)))
    if money is None:
        rows += [row(gate, None, "no price") for gate in (Gate.INSANE, Gate.SIZE)]
    else:
        rows.append(
            row(
                Gate.INSANE,
                abs(money.gross_bps) < limits.max_spread_bps,
                f"gross {money.gross_bps:.2f} bps, within {limits.max_spread_bps:g}",
            )
        )
        rows.append(
            row(
                Gate.SIZE,
                money.executable_usd >= limits.min_executable_usd,
                f"{money.executable_usd:,.2f} USDT, at least {limits.min_executable_usd:g} to open",
            )
        )
    suspects = [leg.source for leg in legs if leg.is_suspect]
    rows.append(
        row(
            Gate.FROZEN,
            None if limits.frozen_move_bps <= 0 else not suspects,
            "off"
            if limits.frozen_move_bps <= 0
            else f"{' and '.join(suspects)} stood still while others moved"
            if suspects
            else "",
        )
    )
    rows.append(row(Gate.UNCONFIRMED, *_confirmation(reading, would, rows)))
    return rows


LEG_GATES = (
    Gate.HALTED, Gate.QUARANTINED, Gate.UNUSABLE, Gate.DEAD_EPOCH, Gate.CROSSED, Gate.STALE,
)  # fmt: skip


def _leg_gate(reading: Reading, legs: Sequence[LegReading], gate: Gate) -> tuple[bool | None, str]:
    """Return whether both legs pass one gate, and what the one that does not shows."""
    wrong = [f"{leg.source}: {why}" for leg in legs if (why := _why(reading, leg, gate))]
    return not wrong, "; ".join(wrong)


def _why(reading: Reading, leg: LegReading, gate: Gate) -> str:
    """Say why a leg does not pass a gate; "" when it does."""
    quote = leg.quote
    if quote is None:
        return (
            "no stable value: its feed is writing, or died writing"
            if (gate is Gate.UNUSABLE)
            else ""
        )
    flags = int(quote["flags"])
    other = flags & ~(SlotFlag.HALTED | QUARANTINE)
    found = {
        Gate.HALTED: "not trading" if flags & SlotFlag.HALTED else "",
        Gate.QUARANTINED: _named(flags & QUARANTINE),
        Gate.UNUSABLE: _named(other),
        Gate.DEAD_EPOCH: _why_dead(leg, int(quote["epoch"])),
        Gate.CROSSED: f"bid {quote['bid']:g}, ask {quote['ask']:g}"
        if flags == 0 and not 0 < quote["bid"] < quote["ask"]
        else "",
        Gate.STALE: _why_stale(reading, leg),
    }
    return found[gate]


def _named(flags: int) -> str:
    return ", ".join(flag.name.lower() for flag in SlotFlag if flags & flag)


def _why_dead(leg: LegReading, epoch: int) -> str:
    if leg.living_epoch % 2 == 0:
        return "no living feed"
    return "" if epoch == leg.living_epoch & 0xFFFF else "written by an earlier feed"


def _why_stale(reading: Reading, leg: LegReading) -> str:
    assert leg.quote is not None
    limit_ms = reading.limits.max_leg_age_ms
    if leg.quote["received_ns"] <= 0:
        return "never quoted"
    age_ms = _age_ms(reading, leg)
    return f"{age_ms:,.0f} ms old, at most {limit_ms:,}" if age_ms > limit_ms else ""


def _pauses(reading: Reading) -> list[str]:
    control, direction = reading.control, reading.direction
    held = ["everything"] if control.is_paused else []
    held += [
        leg.source
        for leg, source in (
            (reading.spot, direction.spot_source),
            (reading.futures, direction.futures_source),
        )
        if control.paused_sources >> source & 1
    ]
    if control.paused_directions >> direction.direction_id & 1:
        held.append(direction.name)
    if control.paused_symbols >> reading.symbol_id & 1:
        held.append(reading.symbol)
    return held


def _confirmation(
    reading: Reading, would: str, before: Sequence[GateRow]
) -> tuple[bool | None, str]:
    limits = reading.limits
    if limits.confirm_updates <= 1 and limits.confirm_ms == 0:
        return None, "off"
    wanted = [f"{limits.confirm_updates} quotes"] if limits.confirm_updates > 0 else []
    wanted += [f"{limits.confirm_ms} ms"] if limits.confirm_ms else []
    if would != "open" or any(row.passes is False for row in before):
        return None, f"of an opening, by {' or '.join(wanted)}"
    return False, f"waits for {' or '.join(wanted)}"


def _verdict(reading: Reading, would: str, gates: Sequence[GateRow]) -> str:
    if reading.engine_state != "running":
        return f"the engine is {reading.engine_state}: nothing is signalled"
    # Size and confirmation are asked of openings only.
    asked = {"size", "unconfirmed"} if would != "open" else set()
    held = [row.name for row in gates if row.passes is False and row.name not in asked]
    if would == "nothing":
        return "nothing to say" + (f"; would be held back: {', '.join(held)}" if held else "")
    if held:
        return f"{would}: held back by {', '.join(held)}"
    if reading.is_ring_full:
        return f"{would}: waits in the engine, for the ring is full; judged again when it has room"
    return f"{would}: may signal"


def _last(reading: Reading) -> LastSignal | None:
    state, signal = reading.state, reading.signal
    if signal is not None:
        return LastSignal(
            kind=SignalType(signal["type"]).name.lower(),
            age_s=_age_s(reading, signal["time_ns"]),
            opening=int(signal["opening"]),
            net_bps=float(signal["net_bps"]),
            details={
                name: _finite(value) if isinstance(value, float) else value
                for name, value in signal.items()
            },
        )
    if state is None or state["time_ns"] <= 0:
        return None
    return LastSignal(
        kind=SignalType(state["type"]).name.lower(),
        age_s=_age_s(reading, state["time_ns"]),
        opening=int(state["opening"]),
        net_bps=float(state["net_bps"]),
        details=None,
    )


def _age_s(reading: Reading, time_ns: int) -> float:
    return max(0, reading.now_ns - int(time_ns)) / 1e9


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
