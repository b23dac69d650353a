"""Recordings of two sources, written line by line."""

import gzip
import json

from spreadscan.rawlog import End, Head, SegmentName, line_of
from spreadscan.universe import write_universe

SECOND_NS = 1_000_000_000
START_NS = 1_795_000_000 * SECOND_NS
SPOT, FUTURES = "okx_spot", "binance_futures"
BOOT = "11111111-2222-3333-4444-555555555555"


def spot(ask, number, instrument="PEPE-USDT"):
    """A frame of the spot source; sizes are worth some 10,000 USDT at a price of 1."""
    level = {"asks": [[repr(ask), "10000"]], "bids": [[repr(ask * 0.9999), "10000"]]}
    return frame(
        arg={"channel": "bbo-tbt", "instId": instrument},
        data=[level | {"ts": "NOW_MS", "seqId": number}],
    )


def futures(bid, number, symbol="1000PEPEUSDT"):
    """A frame of the perpetual source, quoted by the thousand."""
    prices = {"b": repr(bid * 1000), "B": "10", "a": repr(bid * 1000.1), "A": "10"}
    return frame(e="bookTicker", u=number, s=symbol, **prices, T="NOW_MS", E="NOW_MS")


def frame(**tree):
    return json.dumps(tree, separators=(",", ":")).replace('"T":"NOW_MS"', '"T":NOW_MS').encode()


class Recording:
    """A folder as feeds leave it."""

    def __init__(self, root):
        self.root = root
        self._serials = {}

    def keep(self, universe):
        name = f"{universe.generation}-{universe.generation:012x}"
        if not (self.root / "universe" / name).exists():
            write_universe(self.root / "universe" / name, universe)
        return name

    def write(
        self, source, universe, *lines, session="s1", offset_ns=0, boot_id=BOOT, until_s=None
    ):
        """Write a segment; lines are (seconds since the start, frame or note).

        With *until_s* the feed ended in order then, else it goes on.
        """
        serial = self._serials[source] = self._serials.get(source, -1) + 1
        name = SegmentName("20261118T000000Z", serial, self.keep(universe))
        head = Head(
            source=source, session=session, serial=serial, universe=name.universe,
            boot_id=boot_id, offset_ns=offset_ns,
        )  # fmt: skip
        noted = [(lines[0][0], head), *lines]
        if until_s is not None:
            noted.append((until_s, End()))
        text = b"".join(self._line(START_NS + round(at * SECOND_NS), item) for at, item in noted)
        file = self.root / source / name.file_name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress(text, mtime=0))
        return file

    @staticmethod
    def _line(time_ns, item):
        if not isinstance(item, bytes):
            return line_of(time_ns, item)
        # The exchange's time is that of its receipt: nothing is late.
        return b"%d %s\n" % (time_ns, item.replace(b"NOW_MS", b"%d" % (time_ns // 1_000_000)))
