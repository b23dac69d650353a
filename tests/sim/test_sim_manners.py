from spreadscan.sim.manners import Ledger, Limits, SlidingCount


def test_a_sliding_window_forgets_what_is_older_than_itself():
    count = SlidingCount(1.0)

    assert [count.add(now) for now in (0.0, 0.5, 0.9, 1.0, 1.6, 5.0)] == [1, 2, 3, 3, 3, 1]


def test_a_value_at_the_limit_is_no_overrun():
    ledger = Ledger(Limits(topics_per_connection=3))

    assert not ledger.check("topics_per_connection", 3, 3)
    assert ledger.overruns == {}


def test_overruns_keep_their_number_and_the_worst_of_them():
    ledger = Ledger(Limits())

    found = [ledger.check("messages_per_s", 5, value) for value in (6, 9, 7)]

    assert found == [True, True, True]
    assert ledger.report()["overruns"] == {"messages_per_s": {"limit": 5, "worst": 9, "count": 3}}


def test_a_limit_that_is_not_published_is_never_overrun():
    assert not Ledger(Limits()).check("connects", None, 1e9)


def test_connecting_too_often_is_recorded():
    ledger = Ledger(Limits(connects=2, connects_window_s=1.0))

    for now in (0.0, 0.1, 0.2, 5.0):
        ledger.opened(now)
    ledger.closed()

    assert ledger.overruns["connects"].count == 1
    assert (ledger.connections, ledger.open_connections) == (4, 3)
