"""The document holds what was run, where, and the commands that repeat it."""

from __future__ import annotations

import msgspec

from prunebench.report.document import document
from prunebench.report.sources import gather
from prunebench.runs.index import identify
from prunebench.runs.run import Run
from prunebench.studies.record import StudyRecord


def test_it_says_what_was_run(study):
    found = document(gather(str(study)))
    assert found.title == "Pruning tiny on digits"
    assert found.about[0] == (
        "9 pruning runs of at most 2 steps, 3 seeds (0, 1, 2), tested on 360 samples each; 1 run of timings."
    )
    assert found.about[1] == "tiny on digits: structured l2; unstructured l1; dense, same epochs."
    assert [(axis.name, axis.title) for axis in found.axes][-1] == ("latency@4", "measured latency left, batch 4")
    assert len(found.groups) == len(found.comparisons) == 3


def test_a_title_that_is_given_is_taken(study):
    assert document(gather(str(study)), "Ours").title == "Ours"


def test_machines_are_told_once_whatever_the_seeds_and_with_what_they_computed(study, here):
    (machine,) = document(gather(str(study))).machines
    assert machine.computed == "9 pruning runs and 1 of timings"
    assert machine.environment == here


def test_every_run_has_its_command_and_timings_name_the_run(study):
    sources = gather(str(study))
    commands = {command.run: command.command for command in document(sources).commands}
    assert set(commands) == {run.key for run in (*sources.runs, *sources.timings)}
    (timing,) = sources.timings
    assert commands[timing.key].startswith(f"prunebench efficiency --run {timing.manifest.source} --backend eager")
    assert commands[timing.manifest.source].startswith("prunebench prune --model tiny --dataset digits")


def test_a_run_that_starts_from_another_has_the_command_of_that_one_before_its_own(
    tmp_path, pruned, commit, make_record
):
    config = {"model": "tiny", "dataset": "digits", "weights": "none", "method": "none", "epochs": 3}
    first = Run(tmp_path, identify("train", config, config, {}))
    commit(first, make_record())
    run = pruned(tmp_path, weights=first.key)
    before, own = document(gather(str(run.folder))).commands
    assert (before.run, own.run) == (first.key, run.key)
    assert before.command.startswith("prunebench train --model tiny --dataset digits --epochs 3")


def test_the_text_of_a_study_is_shown(tmp_path, pruned):
    run = pruned(tmp_path)
    record = StudyRecord(name="small", source="[grid]\nseed = [0]\n", runs=(run.key,))
    (tmp_path / "study.json").write_bytes(msgspec.json.encode(record))
    found = document(gather(str(tmp_path)))
    assert found.title == "small"
    assert found.study == record


def test_the_same_runs_give_the_same_document(study):
    first, second = (msgspec.json.encode(document(gather(str(study)))) for _ in range(2))
    assert first == second
