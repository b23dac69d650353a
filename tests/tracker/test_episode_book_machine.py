"""Any order of signals, looks, staleness, reloads, restarts and clock steps, against an oracle.

Restarts go through a real ledger on disk.
"""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tracker_cases import BOOT, NAMES, NOW_NS, OFFSET_NS, RULES, Case, names_of

from spreadscan.model import SignalType
from spreadscan.tracker.episode import Clocks, Ending
from spreadscan.tracker.recovery import open_ledger
from spreadscan.tracker.store import Batch

SYMBOLS = st.sampled_from([7, 8, 9])
UNIVERSES = st.sets(SYMBOLS)
NETS = st.floats(-40.0, 120.0, allow_nan=False)


def is_over(episode, time_ns):
    """Whether it has ended before that time, whatever is seen then."""
    unseen_since_ns = episode.suspended_since_ns or episode.last.time_ns
    return (
        time_ns - episode.opened_ns >= RULES.max_life_ns
        or time_ns - unseen_since_ns >= RULES.max_suspended_ns
    )


class EpisodeLife(RuleBasedStateMachine):
    @initialize()
    def start(self):
        self.case = Case()
        self.listed = {7, 8, 9}
        self.now_ns = NOW_NS
        self.offset_ns = OFFSET_NS
        self.boot = BOOT
        self.stored_clocks = self.clocks()
        self.known = {}
        self.endings = {}
        self.openings = {7: 0, 8: 0, 9: 0}
        self.expired = {}
        self.may_converge = set()
        self.is_killed = False
        self.folder = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="spreadscan-test-"))
        self.store = open_ledger(self.folder, self.clocks()).store
        self.frames = []

    def teardown(self):
        if hasattr(self, "store"):
            self.store.close()
            shutil.rmtree(self.folder)

    def clocks(self):
        return Clocks(self.boot, self.now_ns, self.now_ns + self.offset_ns)

    def collect(self):
        """Store what changed, and look at it as the ledger does."""
        changed = self.case.store()
        ids = self.case.book.ids.last
        self.store.commit(
            Batch(changed, self.frames, 1, len(self.known), ids, self.clocks(), is_synced=False)
        )
        self.frames = []
        for episode in changed:
            self.known[episode.episode_id] = episode
            if episode.ending is None:
                continue
            assert episode.episode_id not in self.endings
            self.endings[episode.episode_id] = episode.ending
            self.expired.pop(episode.route.symbol, None)
            if episode.ending is Ending.EXPIRED and episode.opening:
                self.expired[episode.route.symbol] = episode.opening
            match episode.ending:
                case Ending.CONVERGED:
                    assert episode.episode_id in self.may_converge
                case Ending.DELISTED:
                    assert episode.route.symbol not in self.listed_names()
                case Ending.EXPIRED:
                    assert episode.ended_ns - episode.opened_ns >= RULES.max_life_ns
                case Ending.LOST:
                    assert episode.suspended_ns >= RULES.max_suspended_ns
                case Ending.HALTED:
                    assert self.is_killed
        self.may_converge.clear()
        self.stored_clocks = self.clocks()

    def is_over(self, symbol_id, time_ns):
        name = NAMES.symbols[symbol_id]
        return any(is_over(e, time_ns) for e in self.case.open if e.route.symbol == name)

    def open_of(self, symbol_id):
        name = NAMES.symbols[symbol_id]
        return [item.episode_id for item in self.case.open if item.route.symbol == name]

    def listed_names(self):
        return {NAMES.symbols[symbol_id] for symbol_id in self.listed}

    @rule(symbol_id=SYMBOLS, net_bps=NETS, age_ns=st.integers(0, 10**8))
    def open_signal(self, symbol_id, net_bps, age_ns):
        before = self.open_of(symbol_id)
        time_ns = self.now_ns - age_ns
        is_over = self.is_over(symbol_id, time_ns)
        self.openings[symbol_id] += 1

        self.case.signal(
            symbol_id=symbol_id, net_bps=net_bps, time_ns=time_ns, offset_ns=self.offset_ns,
            opening=self.openings[symbol_id],
        )  # fmt: skip

        assert len(self.open_of(symbol_id)) == 1
        assert not before or (self.open_of(symbol_id) == before) != is_over
        self.collect()

    @rule(symbol_id=SYMBOLS, net_bps=NETS)
    def update_signal(self, symbol_id, net_bps):
        before = self.open_of(symbol_id)
        is_over = self.is_over(symbol_id, self.now_ns)
        opening = self.openings[symbol_id]

        self.case.signal(
            SignalType.UPDATE, symbol_id=symbol_id, net_bps=net_bps, time_ns=self.now_ns,
            offset_ns=self.offset_ns, opening=opening,
        )  # fmt: skip

        after = self.open_of(symbol_id)
        self.collect()
        if before and not is_over:
            assert after == before
        else:
            is_barred = opening and self.expired.get(NAMES.symbols[symbol_id]) == opening
            is_listed = symbol_id in self.listed
            assert len(after) == (net_bps > RULES.converge_net_bps and is_listed and not is_barred)
            assert after != before or not after

    @rule(symbol_id=SYMBOLS, age_ns=st.integers(0, 10**9))
    def close_signal(self, symbol_id, age_ns):
        time_ns = self.now_ns - age_ns
        self.may_converge = (
            set() if self.is_over(symbol_id, time_ns) else set(self.open_of(symbol_id))
        )

        self.case.signal(
            SignalType.CLOSE, symbol_id=symbol_id, time_ns=self.now_ns - age_ns,
            offset_ns=self.offset_ns,
        )  # fmt: skip

        assert self.open_of(symbol_id) == []
        self.collect()

    @rule(data=st.data(), step_ns=st.integers(10**6, 20 * 10**9))
    def snapshot(self, data, step_ns):
        self.now_ns += step_ns
        nets = {episode.route.symbol: data.draw(st.none() | NETS) for episode in self.case.open}
        self.may_converge = {
            episode.episode_id
            for episode in self.case.open
            if nets[episode.route.symbol] is not None
            and nets[episode.route.symbol] <= RULES.converge_net_bps
            and not is_over(episode, self.now_ns)
        }
        expected = set(self.may_converge)
        unseen = {e.episode_id for e in self.case.open if nets[e.route.symbol] is None}

        frame = self.case.look(nets, self.now_ns, self.offset_ns)
        self.frames = [] if frame is None else [frame]

        still_open = {episode.episode_id: episode for episode in self.case.open}
        assert not expected & set(still_open)
        for episode_id, episode in still_open.items():
            assert (episode.suspended_since_ns is not None) == (episode_id in unseen)
        self.collect()
        assert expected <= {
            number for number, how in self.endings.items() if how is Ending.CONVERGED
        }

    @rule(listed=UNIVERSES)
    def change_the_universe(self, listed):
        self.listed = listed
        staying = [e.episode_id for e in self.case.open if e.route.symbol in self.listed_names()]

        self.case.book.adopt(names_of({number: NAMES.symbols[number] for number in listed}))
        self.case.book.end_unlisted(self.now_ns, self.offset_ns)

        assert [episode.episode_id for episode in self.case.open] == staying
        self.collect()

    @rule()
    def kill(self):
        self.is_killed = True

        self.case.book.halt(self.now_ns, self.offset_ns)

        assert self.case.open == []
        self.collect()
        self.is_killed = False

    @rule(step_s=st.sampled_from([-3600, 3600]))
    def step_the_wall_clock(self, step_s):
        self.offset_ns += step_s * 10**9

    @rule(away_ns=st.integers(0, 10**9), is_reboot=st.booleans())
    def restart(self, away_ns, is_reboot):
        before = self.case.open
        lives = {e.episode_id: self.now_ns - e.opened_ns for e in before}
        self.now_ns += away_ns
        if is_reboot:
            self.boot += "x"
            wall_ns = self.now_ns + self.offset_ns
            self.now_ns = 10**9
            self.offset_ns = wall_ns - self.now_ns
        names = names_of({number: NAMES.symbols[number] for number in self.listed})
        previous, last_id = self.case.book.previous, self.case.book.ids.last
        self.store.close()
        opened = open_ledger(self.folder, self.clocks())
        self.store, saved = opened.store, opened.saved
        assert opened.damaged == ()
        assert (saved.previous, saved.last_id) == (previous, last_id)
        assert saved.expired == self.case.book.expired
        assert saved.clocks == self.stored_clocks
        self.case = Case(
            last_id=saved.last_id, names=names, boot_id=self.boot, previous=saved.previous
        )
        # Signals of an earlier universe would be spelled by number in this life; none come here.
        self.case.book.adopt(NAMES)
        self.case.book.adopt(names)

        self.case.book.bar(0, saved.expired)
        self.case.book.restore(saved.resumed(self.clocks()))

        after = self.case.open
        assert [e.episode_id for e in after] == [e.episode_id for e in before]
        for old, new in zip(before, after, strict=True):
            went_on_ns = 0 if is_reboot else away_ns
            # What was not stored before a reboot is not known after it.
            unsure_ns = lives[new.episode_id] + went_on_ns - (self.now_ns - new.opened_ns)
            assert unsure_ns == 0 or (is_reboot and unsure_ns > 0)
            assert (new.gaps, new.peak.net_bps) == (old.gaps + 1, old.peak.net_bps)
            assert (new.snapshots, new.re_signals) == (old.snapshots, old.re_signals)
        self.collect()

    @invariant()
    def one_open_episode_for_a_route(self):
        if not hasattr(self, "case"):
            return
        routes = [episode.route.key for episode in self.case.open]
        assert len(routes) == len(set(routes))
        assert all(episode.ending is None for episode in self.case.open)

    @invariant()
    def nothing_is_lost_and_no_duration_is_negative(self):
        if not hasattr(self, "case"):
            return
        still_open = {episode.episode_id for episode in self.case.open}
        assert still_open | set(self.endings) == set(self.known)
        assert not still_open & set(self.endings)
        for episode in self.known.values():
            assert episode.peak.net_bps >= max(episode.first.net_bps, episode.last.net_bps)
            assert min(episode.suspended_ns, episode.gap_ns) >= 0
            assert episode.previous_id is None or episode.previous_id in self.endings
            if episode.ended_ns is not None:
                assert episode.ended_ns >= episode.opened_ns
                assert episode.suspended_ns <= episode.ended_ns - episode.opened_ns


EpisodeLife.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
# A minute of CPU, which a busy machine takes several for.
TestEpisodeLife = pytest.mark.timeout(600)(EpisodeLife.TestCase)
