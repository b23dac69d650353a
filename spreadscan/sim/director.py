"""Plays a scenario: begins and ends its faults, each at its time.

What faults do to quotes stands in ``sim/faults.py``, to REST answers in ``sim/spoil.py``; here are
connections, listings and refusals.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from spreadscan.sim.faults import REST_KINDS, UNSERVED_KINDS, Disturbance, Fault
from spreadscan.sim.gate import Refusal
from spreadscan.sim.hub import Hub
from spreadscan.sim.market import Market
from spreadscan.sim.scenario import Scenario
from spreadscan.sim.server import Servers
from spreadscan.sim.venues import Venue

__all__ = ["Director"]

# RFC 6455 section 7.4.1 and its registry: going away, service restart.
GOING_AWAY, SERVICE_RESTART = 1001, 1012
UNAVAILABLE = 503


class Stage(NamedTuple):
    """What a director moves."""

    venues: Sequence[Venue]
    market: Market
    hub: Hub
    servers: Servers


class Director:
    """One run of a scenario.

    Args:
        scenario: what is to happen.
        disturbance: told which faults are under way.
        stage: what they happen to.
        say: gets one line for each beginning and end.
    """

    def __init__(
        self,
        scenario: Scenario,
        disturbance: Disturbance,
        stage: Stage,
        say: Callable[[str], None],
    ) -> None:
        self._coming = sorted(scenario.fault, key=lambda fault: fault.at_s)
        self._present: list[Fault] = []
        self._disturbance = disturbance
        self._stage = stage
        self._say = say
        self.begun = 0

    def tick(self, elapsed_s: float, now_s: float, now_ms: int) -> None:
        """Begin and end what is due.

        Args:
            elapsed_s: seconds since the run began.
            now_s: monotonic time.
            now_ms: Unix milliseconds.
        """
        over = [fault for fault in self._present if fault.end_s() <= elapsed_s]
        begun = [fault for fault in self._coming if fault.at_s <= elapsed_s]
        if not over and not begun:
            return
        self._coming = self._coming[len(begun) :]
        lasting = [fault for fault in begun if fault.end_s() > elapsed_s]
        self._present = [fault for fault in self._present if fault not in over] + lasting
        self._disturbance.change(self._present)
        self._stage.servers.refuse(self._refusals(now_s - elapsed_s))
        self._stage.servers.rest.spoil([f for f in self._present if f.kind in REST_KINDS])
        for fault in over:
            self._end(fault)
        for fault in begun:
            self.begun += 1
            self._say(f"fault at {fault.at_s:g} s: {_described(fault)}")
            self._begin(fault, now_s, now_ms)

    def lifetime_s(self, source: str) -> float:
        """Return the age at which the scenario closes a source's connections."""
        lives = [f.life_s for f in self._present if f.kind == "lifetime" and f.hits(source)]
        return min(lives, default=float("inf"))

    def _begin(self, fault: Fault, now_s: float, now_ms: int) -> None:
        servers = self._stage.servers
        sources = self._sources(fault)
        match fault.kind:
            case "drop":
                servers.abort(sources)
            case "maintenance":
                servers.close_sources(sources, GOING_AWAY, "maintenance")
            case "shutdown":
                servers.announce_shutdown(sources, now_ms)
            case "renumber":
                rows = self._rows(fault)
                self._stage.market.renumber(rows)
                self._stage.hub.publish(rows, now_s)
            case "unknown" | "delist":
                self._list_anew(fault)
            case "hourly":
                self._settle_anew()
            case _:
                pass

    def _end(self, fault: Fault) -> None:
        self._say(f"over: {_described(fault)}")
        if fault.kind in UNSERVED_KINDS:
            self._list_anew(fault)
        elif fault.kind == "hourly":
            self._settle_anew()
        elif fault.kind == "shutdown":
            self._stage.servers.close_announced(self._sources(fault), SERVICE_RESTART)

    def _list_anew(self, fault: Fault) -> None:
        """Show and serve the fault's symbol, unless a fault under way says otherwise."""
        symbol = fault.symbol
        for venue in self._stage.venues:
            listed = {listing.exchange_symbol for listing in venue.listings}
            if symbol not in listed or not fault.hits(venue.source):
                continue
            assert symbol is not None  # NEEDS_SYMBOL
            kinds = {f.kind for f in self._present if f.symbol == symbol and f.hits(venue.source)}
            (venue.delisted.add if "delist" in kinds else venue.delisted.discard)(symbol)
            is_served = not kinds & UNSERVED_KINDS
            self._stage.servers.list_symbol(venue.source, symbol, is_listed=is_served)

    def _settle_anew(self) -> None:
        """Let those perpetuals be settled every hour that a fault under way says so of."""
        hourly = [fault for fault in self._present if fault.kind == "hourly"]
        for venue in self._stage.venues:
            mine = [fault for fault in hourly if fault.hits(venue.source)]
            venue.hourly = {
                listing.exchange_symbol
                for listing in venue.listings
                if any(fault.symbol in (None, listing.exchange_symbol) for fault in mine)
            }

    def _refusals(self, began_s: float) -> dict[str, Refusal]:
        found: dict[str, Refusal] = {}
        for fault in self._present:
            if fault.kind in ("429", "418", "maintenance"):
                status = UNAVAILABLE if fault.kind == "maintenance" else int(fault.kind)
                refusal = Refusal(status, began_s + fault.end_s(), fault.retry_after_s)
                found |= dict.fromkeys(self._sources(fault), refusal)
        return found

    def _sources(self, fault: Fault) -> list[str]:
        return [venue.source for venue in self._stage.venues if fault.hits(venue.source)]

    def _rows(self, fault: Fault) -> list[int]:
        listed = [
            (venue.source, listing.exchange_symbol)
            for venue in self._stage.venues
            for listing in venue.listings
        ]
        return [
            row
            for row, (source, symbol) in enumerate(listed)
            if fault.hits(source) and fault.symbol in (None, symbol)
        ]


def _described(fault: Fault) -> str:
    where = fault.source or "every source"
    return f"{fault.kind} on {where}" + (f" {fault.symbol}" if fault.symbol else "")
