"""What a notebook shows of records, runs and studies."""

from __future__ import annotations

from html.parser import HTMLParser

import msgspec
import pytest

from prunebench import Runs
from prunebench.runs.run import Run

VOID = {"img"}


class Checked(HTMLParser):
    """The text of HTML whose elements are all closed, and its pictures."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open, self.words, self.pictures = [], [], 0
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        assert tag not in ("script", "b", "link")
        self.pictures += tag == "img"
        assert all("http" not in (value or "") for _, value in attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_a_record_is_a_row_of_its_table(make_record):
    shown = Checked(make_record(2)._repr_html_())
    assert {"step", "channels", "81.0 %", "0.939", "0.909–0.959"} <= set(shown.words)


def test_a_run_is_its_steps_and_its_picture(tmp_path, made):
    run = made(tmp_path)
    shown = Checked(run._repr_html_())
    assert f"{run.key}: tiny on digits, structured, l2, seed 0" in shown.words
    assert [word for word in shown.words if word in ("0", "1", "2")] == ["0", "1", "2"]
    assert shown.pictures == 1
    assert "data:image/svg+xml;base64," in run._repr_html_()


def test_a_record_of_timings_has_the_medians_of_its_run(tmp_path, made, timed):
    timing = timed(made(tmp_path))
    (record,) = (timing.timing(step) for step in timing.steps())
    even = [msgspec.structs.replace(each, samples_ms=(*each.samples_ms[:1], 4000.0)) for each in record.latencies]
    shown = Checked(msgspec.structs.replace(record, latencies=tuple(even))._repr_html_())
    assert {f"{(each.samples_ms[0] + 4000) / 2:.3g}" for each in even} <= set(shown.words)


def test_a_training_and_timings_are_tables(tmp_path, made, timed):
    assert Checked(made(tmp_path, "train")._repr_html_()).pictures == 0
    timing = timed(made(tmp_path))
    assert {"pruned", "4", "2.00"} <= set(Checked(timing._repr_html_()).words)
    assert {"pruned", "4"} <= set(Checked(timing.timing(1)._repr_html_()).words)


def test_a_study_is_its_groups_of_seeds_a_picture_and_the_verdicts(study):
    shown = Checked(Runs(study)._repr_html_())
    assert {"l2", "random", "Which is better", f"{study}: 4 of pruning, 1 of training"} <= set(shown.words)
    assert shown.pictures >= 1
    assert any("Holm" in word or "95 %" in word for word in shown.words)


@pytest.mark.parametrize("where", ["runs", "a record"])
def test_what_users_have_named_is_text_and_no_markup(where, tmp_path, made, make_record):
    hostile = "<script>alert(1)</script><b>"
    if where == "runs":
        made(tmp_path, model=hostile, notes=(hostile,))
        made(tmp_path, model=hostile, criterion="<b>", notes=(hostile,))
        shown = [*Runs(tmp_path), Runs(tmp_path)]
    else:
        shown = [make_record(1, criterion=hostile, notes=(hostile, "\x1b[31m"))]
    for each in shown:
        text = each._repr_html_()
        Checked(text)
        assert "\x1b" not in text
        assert "&lt;script&gt;" in text


def test_what_has_pruned_nothing_is_listed(tmp_path, made):
    assert "There are no runs in it with a finished step." in Checked(Runs(tmp_path)._repr_html_()).words
    run = made(tmp_path, "train")
    assert run.key in Checked(Runs(tmp_path)._repr_html_()).words


def test_a_run_that_cannot_be_read_says_so_and_raises_nothing(tmp_path, made):
    run = made(tmp_path)
    (run.folder / "run.json").write_bytes(b"{")
    assert "it cannot be read" in repr(run)
    assert "This cannot be shown." in Checked(run._repr_html_()).words


def test_in_plain_text_a_record_and_a_run_are_a_line(tmp_path, made, make_record):
    run = made(tmp_path)
    assert repr(run) == f"Run({str(run.folder)!r}: steps 0 to 2)"
    assert repr(Run(tmp_path, run.manifest, tmp_path / "none")) == f"Run({str(tmp_path / 'none')!r}: no finished step)"
    assert repr(make_record(2)) == (
        "StepRecord(step 2 of tiny-structured-0123456789: top1 0.550 → 0.939, 6,661 parameters, 419,904 MACs)"
    )
