"""A connection that stays behind is ended, one at a time and not in a loop."""

from spreadscan.feed.backlog import PATIENCE_NS, PAUSE_NS, SHORT_PAUSE_NS, Backlog

S = 1_000_000_000


def ended(looks, *, are_all=True):
    """(second, connection) of everything that is ended; looks: second to the ones behind."""
    backlog = Backlog()
    found = (
        (second, backlog.look(second * S, behind, are_all=are_all)) for second, behind in looks
    )
    return [(second, number) for second, number in found if number is not None]


def test_connection_that_stays_behind_is_ended_once_its_time_is_over():
    patience_s = PATIENCE_NS // S

    assert ended((second, [7]) for second in range(60)) == [(patience_s, 7)]


def test_connection_that_catches_up_begins_anew():
    assert ended((second, [7] if second % 9 else []) for second in range(200)) == []


def test_the_one_that_is_behind_for_longest_goes_first_and_the_next_after_a_pause():
    looks = ((second, [7] if second < 3 else [7, 8]) for second in range(400))

    first, second, *_ = ended(looks)

    assert first == (10, 7)
    assert second == (10 + PAUSE_NS // S, 7)


def test_where_another_connection_is_timely_all_that_are_behind_go_soon():
    ends = ended(((second, [7, 8, 9]) for second in range(22)), are_all=False)

    assert [second for second, _ in ends] == [10, 10 + SHORT_PAUSE_NS // S, 20]
