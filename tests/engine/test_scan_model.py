"""The kernel's pass against a slow computation in decimals, over random paths of prices."""

import random
from decimal import Decimal

import pytest
from engine_cases import FEE_BPS

from spreadscan.model import SignalType
from spreadscan.shm.price_store import slot_of

SYMBOLS = range(6)
# (direction, spot source, futures source): a source takes part in several routes.
DIRECTIONS = [(0, 0, 1), (1, 0, 5), (2, 4, 1), (3, 4, 5)]


class Model:
    """What should be signalled, by the words of the design and nothing of the kernel."""

    def __init__(self, config):
        self.open_bps = Decimal(config.open_net_bps)
        self.rearm_bps = Decimal(config.rearm_net_bps)
        self.step_bps = Decimal(config.update_step_bps)
        self.min_usd = Decimal(config.min_executable_usd)
        self.books = {}
        self.signalled = {}
        self.openings = {}

    def nets(self):
        """Yield (route, net spread, executable value) of every route with two legs."""
        for direction, spot, futures in DIRECTIONS:
            for symbol in SYMBOLS:
                if (spot, symbol) in self.books and (futures, symbol) in self.books:
                    _, ask, qty = self.books[spot, symbol]
                    bid, _, futures_qty = self.books[futures, symbol]
                    net = (bid - ask) / ask * 10_000 - Decimal(FEE_BPS)
                    yield (direction, symbol), net, min(ask * qty, bid * futures_qty)

    def is_on_an_edge(self):
        """Whether binary and decimal arithmetic might disagree about a threshold."""
        for route, net, usd in self.nets():
            edges = [self.open_bps, self.rearm_bps]
            if route in self.signalled:
                edges += [
                    self.signalled[route] + self.step_bps,
                    self.signalled[route] - self.step_bps,
                ]
            if any(abs(net - edge) < Decimal("1e-6") for edge in edges) or usd == self.min_usd:
                return True
        return False

    def expected(self):
        found = set()
        for route, net, usd in self.nets():
            if route not in self.signalled:
                if net < self.open_bps or usd < self.min_usd:
                    continue
                self.openings[route] = self.openings.get(route, 0) + 1
                kind = SignalType.OPEN
            elif net <= self.rearm_bps:
                kind = SignalType.CLOSE
            elif abs(net - self.signalled[route]) >= self.step_bps:
                kind = SignalType.UPDATE
            else:
                continue
            if kind is SignalType.CLOSE:
                del self.signalled[route]
            else:
                self.signalled[route] = net
            found.add((int(kind), *route, self.openings[route]))
        return found


def step(draw, model, market):
    """Move a few books a little; return the slots that moved."""
    moved = {}
    for _ in range(draw.randint(1, 6)):
        source, symbol = draw.choice([0, 1, 4, 5]), draw.choice(SYMBOLS)
        middle = Decimal(10_000 + draw.randint(-35, 35)) / 100
        bid, ask = middle, middle + Decimal(draw.randint(1, 5)) / 100
        moved[source, symbol] = (bid, ask, Decimal(draw.choice(["0.5", "2", "7.25"])))
    before = dict(model.books)
    model.books |= moved
    if model.is_on_an_edge():
        model.books = before
        return {}
    for (source, symbol), (bid, ask, qty) in moved.items():
        market.quote(source, symbol, float(bid), float(ask), qty=float(qty))
    return moved


@pytest.mark.parametrize("seed", range(4))
def test_signals_are_those_of_an_independent_decimal_model(market, seed):
    draw = random.Random(seed)
    market.scanner.set_routes(
        [
            (slot_of(spot, symbol), slot_of(futures, symbol), direction, symbol, FEE_BPS)
            for direction, spot, futures in DIRECTIONS
            for symbol in SYMBOLS
        ]
    )
    model = Model(market.config)
    total = 0

    for _ in range(1_500):
        if not step(draw, model, market):
            continue
        market.scanner.scan()
        found = market.signals()
        expected = model.expected()
        assert {
            (int(row["type"]), int(row["direction"]), int(row["symbol_id"]), int(row["opening"]))
            for row in found
        } == expected
        assert len(found) == len(expected)
        nets = {route: net for route, net, _ in model.nets()}
        for row in found:
            net = float(nets[int(row["direction"]), int(row["symbol_id"])])
            assert row["net_bps"] == pytest.approx(net, abs=1e-8)
        total += len(found)

    assert total > 300
    assert market.scanner.open_routes == len(model.signalled)
