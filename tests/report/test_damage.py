"""The report shows damage where it was computed, of the run as it is."""

from __future__ import annotations

import numpy as np
import pytest

from prunebench.experiment.damages import files_of, keep
from prunebench.records import Shown
from prunebench.report.damage import damaged
from prunebench.report.document import document
from prunebench.report.page import page
from prunebench.report.sources import gather


@pytest.fixture
def run(tmp_path, pruned, make_damage):
    """A run of which damage is kept, with a text that would be markup."""
    made = pruned(tmp_path / "runs")
    labels = np.repeat([0, 1], 40)
    wrong = labels.copy()
    wrong[:12] = 1
    shown = (Shown(0, text="<b>bold</b>"), Shown(1, png=b"\x89PNG"))
    keep(made, make_damage(labels, labels, wrong, run=made.key, files=files_of(made, 2), shown=shown))
    return made


def test_it_is_on_the_page_with_samples_and_what_was_really_lost(run):
    (found,) = damaged([run])
    assert found.title == f"{run.key}, step 2"
    assert found.verdict.startswith("Really lost: a.")
    assert [of.sample for of in found.shown] == [0, 1]
    made = document(gather(str(run.root)))
    assert made.damages == (found,)
    text = page(made).decode()
    assert "<b>bold" not in text
    assert "iVBOR" in text or "iVBO" in text


def test_of_a_step_that_was_computed_anew_nothing_is_shown(run, make_damage):
    labels = np.array([0, 1])
    keep(run, make_damage(labels, labels, labels, run=run.key, files={"steps/000/record.json": "0"}))
    assert list(damaged([run])) == []
