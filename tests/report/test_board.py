"""The board of a study stands on its page instead of every other comparison."""

from __future__ import annotations

from prunebench.report.board import Entry, shown
from prunebench.report.document import document
from prunebench.report.sources import gather


def test_a_study_that_has_fixed_its_comparisons_has_these_alone(fixed):
    found = document(gather(str(fixed)))
    assert found.comparisons == ()
    assert found.board is not None
    (table,) = found.board.tables
    assert (table.title, table.metric, table.against) == ("tiny on digits, structured, 0.1", "accuracy", ("random",))
    best, other, *lines = table.entries
    assert (best.rank, best.name, other.rank, other.name) == ("1", "l1", "2", "random")
    assert best.against[0].told
    assert best.against[0].difference.startswith("+1.8 (+1.6 to +2.1)")
    assert [(line.name, line.rank, line.against) for line in lines] == [
        ("trained on, nothing removed", "", ()),
        ("unpruned", "", ()),
    ]
    assert isinstance(lines[0], Entry)


def test_it_tells_that_its_comparisons_were_changed(fixed):
    _, first, change = document(gather(str(fixed))).board.told
    assert first.endswith("before any run was finished.")
    assert change.startswith("Warning: they were changed on 2026-01-03, when 3 of 12 runs were finished")


def test_other_runs_have_no_board(study):
    found = document(gather(str(study)))
    assert found.board is None
    assert found.comparisons
    assert shown(None, []) is None
