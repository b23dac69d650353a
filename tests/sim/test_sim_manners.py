from spreadscan.sim.manners import Ledger, Limits, OverrunEvent, SlidingCount


def test_a_sliding_window_forgets_what_is_older_than_itself():
    count = SlidingCount(1.0)

    assert [count.add(now) for now in (0.0, 0.5, 0.9, 1.0, 1.6, 5.0)] == [1, 2, 3, 3, 3, 1]


def test_a_sliding_window_adds_up_weights():
    count = SlidingCount(1.0)

    found = [count.add(now, weight) for now, weight in ((0.0, 80), (0.5, 4), (1.2, 20), (9.0, 2))]

    assert found == [80, 84, 24, 2]


def test_a_value_at_the_limit_is_no_overrun():
    ledger = Ledger(Limits(topics_per_connection=3))

    assert not ledger.check("topics_per_connection", 3, 3, 1.0)
    assert ledger.overruns == {}


def test_overruns_keep_their_number_and_the_worst_of_them():
    ledger = Ledger(Limits())

    found = [ledger.check("messages_per_s", 5, value, 1.0) for value in (6, 9, 7)]

    assert found == [True, True, True]
    assert ledger.report()["overruns"] == {"messages_per_s": {"limit": 5, "worst": 9, "count": 3}}


def test_a_limit_that_is_not_published_is_never_overrun():
    assert not Ledger(Limits()).check("connects", None, 1e9, 1.0)


def test_connecting_too_often_is_recorded():
    ledger = Ledger(Limits(connects=2, connects_window_s=1.0), started_s=-10.0)

    admitted = [ledger.admits_connect(now) for now in (0.0, 0.1, 0.25, 5.0)]

    assert admitted == [True, True, False, True]
    assert ledger.refused_connects == 1
    assert ledger.events == [OverrunEvent("connects", 3, 2, 10.25)]


def test_two_ledgers_of_one_address_share_the_window_of_connects():
    window = SlidingCount(1.0)
    first, second = (Ledger(Limits(connects=1, connects_window_s=1.0), window) for _ in range(2))

    assert first.admits_connect(0.0)
    assert not second.admits_connect(0.5)
    assert first.overruns == {}
    assert second.overruns["connects"].worst == 2


def test_coming_back_before_the_time_that_was_told_is_an_overrun():
    ledger = Ledger(Limits())

    # What comes 0.2 s later was under way.
    for now in (0.0, 0.2, 5.0, 10.0, 10.2, 12.0):
        ledger.turned_away("rest", 10.0, now)
    ledger.turned_away("websocket", 10.0, 13.0)

    assert [(event.limit, event.found, event.at_s) for event in ledger.events] == [
        ("rest_while_banned_s", 5.0, 5.0),
        ("rest_while_banned_s", 8.0, 12.0),
    ]


def test_the_list_of_overruns_ends_while_the_count_goes_on():
    ledger = Ledger(Limits())

    for number in range(1500):
        ledger.check("messages_per_s", 5, 6, float(number))

    assert len(ledger.events) == 1000
    assert ledger.overruns["messages_per_s"].count == 1500


def test_connections_are_counted_when_they_come_and_go():
    ledger = Ledger(Limits())

    for _ in range(4):
        ledger.opened()
    ledger.closed()

    assert (ledger.connections, ledger.open_connections) == (4, 3)
