"""A data folder with days of history: parts written as the tracker writes them."""

from tracker_cases import BOOT, NOW_NS, OFFSET_NS, SECOND_NS, Case

from spreadscan.model import SignalType
from spreadscan.tracker.episode import Clocks
from spreadscan.tracker.parts import day_of
from spreadscan.tracker.recovery import open_ledger
from spreadscan.tracker.store import Batch, NewPart

DAY_NS = 86_400 * SECOND_NS


class Days:
    """A tracker's book and its ledger, driven through days."""

    def __init__(self, folder):
        self.folder = folder
        self.now_ns = NOW_NS
        self.offset_ns = OFFSET_NS
        self.case = Case()
        self.store = open_ledger(folder, self.clocks()).store
        self.frames = []

    def clocks(self):
        return Clocks(BOOT, self.now_ns, self.now_ns + self.offset_ns)

    def set_clock(self, wrong_by_ns):
        """Step the wall clock; the next part is of its day."""
        self.offset_ns = OFFSET_NS + wrong_by_ns
        self.begin_part()

    def open(self, symbol_id, **more):
        self.case.signal(symbol_id=symbol_id, time_ns=self.now_ns, offset_ns=self.offset_ns, **more)

    def close(self, symbol_id):
        self.case.signal(
            SignalType.CLOSE, symbol_id=symbol_id, time_ns=self.now_ns, net_bps=-1.0,
            offset_ns=self.offset_ns,
        )  # fmt: skip

    def look(self, net_bps, after_s=0.2):
        self.now_ns += round(after_s * SECOND_NS)
        frame = self.case.look(net_bps, self.now_ns)
        if frame is not None:
            self.frames.append(frame)

    def commit(self, new_part=None):
        self.store.commit(
            Batch(
                self.case.store(), self.frames, 1, 0, self.case.book.ids.last, self.clocks(),
                is_synced=True, new_part=new_part,
            )
        )  # fmt: skip
        self.frames = []

    def next_day(self):
        self.commit()
        self.now_ns += DAY_NS
        self.begin_part()

    def begin_part(self):
        day = day_of(self.now_ns + self.offset_ns)
        self.commit(NewPart(day, self.case.open, dict(self.case.book.previous)))

    def episode_of(self, symbol):
        return [each for each in self.case.all if each.route.symbol == symbol]


def three_days(folder):
    """BTC converges on the first day, ETH lives into the second, SOL is open on the third."""
    days = Days(folder)
    days.open(7)
    days.look(30.0)
    days.look(25.0)
    days.close(7)
    days.look(None)
    days.open(8, net_bps=50.0, z_score=6.5)
    days.look(51.0)
    days.case.book.rules = days.case.book.rules._replace(
        max_life_ns=10 * DAY_NS, max_suspended_ns=9 * DAY_NS
    )
    days.next_day()
    days.look({"ETH-USDT": 60.0})
    days.close(8)
    days.next_day()
    days.open(9, net_bps=12.0)
    days.look(13.0)
    days.commit()
    return days
