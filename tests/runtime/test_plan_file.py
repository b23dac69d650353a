"""A feed's plan on disk: whole or absent, written only when it changed."""

import pytest

from spreadscan.runtime.plan_file import PlanFile, PlanRow, read_plan

S = 1_000_000_000


def row(number=0, symbols=("A", "B"), **changes):
    fields = {"number": number, "symbols": symbols, "state": "open", "opened_ns": 5, "messages": 1}
    return PlanRow(**(fields | changes))


@pytest.fixture
def plan(tmp_path):
    return PlanFile(tmp_path, "okx_spot")


def test_plan_is_read_as_it_was_written(plan, tmp_path):
    assert read_plan(tmp_path, "okx_spot") is None

    plan.publish(lambda: [row(), row(1, ("C",))], S)

    assert read_plan(tmp_path, "okx_spot") == [row(), row(1, ("C",))]
    assert read_plan(tmp_path, "okx_futures") is None


def test_plan_is_looked_at_once_a_second_and_written_when_it_changed(plan, tmp_path):
    looks = []

    def rows(*found):
        looks.append(found)
        return list(found)

    plan.publish(lambda: rows(row()), S)
    plan.publish(lambda: rows(row(state="closed")), S + 1)
    assert read_plan(tmp_path, "okx_spot") == [row()]

    plan.publish(lambda: rows(row(messages=900)), 2 * S)
    assert read_plan(tmp_path, "okx_spot") == [row()]

    plan.publish(lambda: rows(row(state="closed")), 3 * S)
    assert read_plan(tmp_path, "okx_spot") == [row(state="closed")]
    assert len(looks) == 3


def test_folder_that_cannot_be_written_stops_nothing_and_is_tried_again(tmp_path):
    (tmp_path / "plans").write_text("in the way")
    plan = PlanFile(tmp_path, "okx_spot")

    plan.publish(lambda: [row()], S)
    (tmp_path / "plans").unlink()
    plan.publish(lambda: [row()], 2 * S)

    assert read_plan(tmp_path, "okx_spot") == [row()]


def test_file_that_is_no_plan_is_none(plan, tmp_path):
    plan.publish(lambda: [row()], S)
    (tmp_path / "plans" / "okx_spot.json").write_bytes(b'[{"number"')

    assert read_plan(tmp_path, "okx_spot") is None
