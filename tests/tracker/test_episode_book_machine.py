"""Any order of signals, snapshots, staleness and restarts, against a plain oracle."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tracker_cases import NAMES, NOW_NS, OFFSET_NS, RULES, book, moment, names_of, signal

from spreadscan.model import SignalType
from spreadscan.tracker.episode import Ending

SYMBOLS = st.sampled_from([7, 8, 9])
UNIVERSES = st.sets(SYMBOLS)
NETS = st.floats(-40.0, 120.0, allow_nan=False)


class EpisodeLife(RuleBasedStateMachine):
    @initialize()
    def start(self):
        self.book = book()
        self.listed = {7, 8, 9}
        self.now_ns = NOW_NS
        self.offset_ns = OFFSET_NS
        self.known = {}
        self.endings = {}
        self.may_converge = set()

    def collect(self):
        """Look at what changed, as the store would."""
        for episode in self.book.changed_episodes():
            self.known[episode.episode_id] = episode
            if episode.ending is not None:
                assert episode.episode_id not in self.endings
                self.endings[episode.episode_id] = episode.ending
                if episode.ending is Ending.CONVERGED:
                    assert episode.episode_id in self.may_converge
                elif episode.ending is Ending.DELISTED:
                    assert episode.route.symbol not in self.listed_names()
                else:
                    assert episode.ended_ns - episode.opened_ns >= RULES.max_life_ns
        self.book.mark_stored()
        self.may_converge.clear()

    def open_of(self, symbol_id):
        name = NAMES.symbols[symbol_id]
        return [item for item in self.book.open_episodes() if item.route.symbol == name]

    def listed_names(self):
        return {NAMES.symbols[symbol_id] for symbol_id in self.listed}

    @rule(symbol_id=SYMBOLS, net_bps=NETS, age_ns=st.integers(0, 10**8))
    def open_signal(self, symbol_id, net_bps, age_ns):
        before = self.open_of(symbol_id)

        self.book.apply(
            signal(symbol_id=symbol_id, net_bps=net_bps, time_ns=self.now_ns - age_ns),
            self.offset_ns,
        )

        assert len(self.open_of(symbol_id)) == 1
        assert not before or self.open_of(symbol_id) == before
        self.collect()

    @rule(symbol_id=SYMBOLS, net_bps=NETS)
    def update_signal(self, symbol_id, net_bps):
        before = self.open_of(symbol_id)

        self.book.apply(
            signal(SignalType.UPDATE, symbol_id=symbol_id, net_bps=net_bps, time_ns=self.now_ns),
            self.offset_ns,
        )

        assert self.open_of(symbol_id) == before
        self.collect()

    @rule(symbol_id=SYMBOLS, age_ns=st.integers(0, 10**9))
    def close_signal(self, symbol_id, age_ns):
        self.may_converge = {item.episode_id for item in self.open_of(symbol_id)}

        self.book.apply(
            signal(SignalType.CLOSE, symbol_id=symbol_id, time_ns=self.now_ns - age_ns),
            self.offset_ns,
        )

        assert self.open_of(symbol_id) == []
        self.collect()

    @rule(data=st.data(), step_ns=st.integers(0, 20 * 10**9))
    def snapshot(self, data, step_ns):
        self.now_ns += step_ns
        episodes = self.book.open_episodes()
        nets = [data.draw(st.none() | NETS) for _ in episodes]
        seen = [
            None if net is None else moment(episode, net_bps=net, time_ns=self.now_ns)
            for episode, net in zip(episodes, nets, strict=True)
        ]
        self.may_converge = {
            episode.episode_id
            for episode, net in zip(episodes, nets, strict=True)
            if net is not None and net <= RULES.converge_net_bps
        }
        expected = set(self.may_converge)

        self.book.observe(episodes, seen, self.now_ns, self.offset_ns)

        converged = {e.episode_id for e in episodes if e.ending is Ending.CONVERGED}
        assert converged == expected
        self.collect()

    @rule(listed=UNIVERSES)
    def change_the_universe(self, listed):
        self.listed = listed
        staying = [e for e in self.book.open_episodes() if e.route.symbol in self.listed_names()]

        self.book.adopt(names_of({number: NAMES.symbols[number] for number in listed}))
        self.book.end_unlisted(self.now_ns, self.offset_ns)

        assert self.book.open_episodes() == staying
        self.collect()

    @rule(step_s=st.sampled_from([-3600, 3600]))
    def step_the_wall_clock(self, step_s):
        self.offset_ns += step_s * 10**9

    @rule()
    def restart(self):
        open_before = self.book.open_episodes()
        names = names_of({number: NAMES.symbols[number] for number in self.listed})
        self.book = book(last_id=max(self.known, default=0), names=names)
        # Signals of an earlier universe would be spelled by number in this life; none come here.
        self.book.adopt(NAMES)
        self.book.adopt(names)

        self.book.restore(open_before)

        assert self.book.open_episodes() == open_before
        self.collect()

    @invariant()
    def one_open_episode_for_a_route(self):
        if not hasattr(self, "book"):
            return
        routes = [episode.route.key for episode in self.book.open_episodes()]
        assert len(routes) == len(set(routes))
        assert all(episode.ending is None for episode in self.book.open_episodes())

    @invariant()
    def nothing_is_lost_and_no_duration_is_negative(self):
        if not hasattr(self, "book"):
            return
        still_open = {episode.episode_id for episode in self.book.open_episodes()}
        assert still_open | set(self.endings) == set(self.known)
        assert not still_open & set(self.endings)
        for episode in self.known.values():
            assert episode.peak.net_bps >= max(episode.first.net_bps, episode.last.net_bps)
            if episode.ended_ns is not None:
                assert episode.ended_ns >= episode.opened_ns


EpisodeLife.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, derandomize=True
)
TestEpisodeLife = EpisodeLife.TestCase
