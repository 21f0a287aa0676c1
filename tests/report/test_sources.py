"""What a report is about: runs by path, what of a study is missing, and what is passed over."""

from __future__ import annotations

import os

import msgspec
import pytest

from prunebench.errors import RunError
from prunebench.report.sources import gather
from prunebench.runs.index import identify
from prunebench.runs.run import Run
from prunebench.studies.record import StudyRecord


def write_study(root, *keys):
    record = StudyRecord(name="small", source="[grid]\nseed = [0]\n", runs=keys)
    (root / "study.json").write_bytes(msgspec.json.encode(record))


def test_a_folder_is_all_its_pruning_runs_and_their_timings(study):
    found = gather(str(study))
    assert len(found.runs) == 9
    assert [run.manifest.kind for run in found.timings] == ["efficiency"]
    assert (found.study, found.unfinished) == (None, ())


def test_one_run_is_itself_with_its_own_timings(study, pruned):
    (timing,) = gather(str(study)).timings
    found = gather(str(study / timing.manifest.source))
    assert [run.key for run in found.runs] == [timing.manifest.source]
    assert [run.key for run in found.timings] == [timing.key]
    other = next(run for run in gather(str(study)).runs if run.key != timing.manifest.source)
    assert gather(str(other.folder)).timings == []


def test_runs_of_a_study_that_are_missing_or_have_stopped_are_told(tmp_path, pruned):
    done, stopped = pruned(tmp_path, seed=0), pruned(tmp_path, seed=1, steps=2)
    write_study(tmp_path, done.key, stopped.key, "tiny-structured-0000000000")
    found = gather(str(tmp_path))
    assert found.study is not None
    assert found.study.name == "small"
    assert sorted(found.unfinished) == sorted(
        [
            f"{stopped.key} has stopped at step 1 of 2.",
            "tiny-structured-0000000000 is part of the study and has not begun.",
        ]
    )


def test_a_search_that_ended_early_is_finished(tmp_path, pruned):
    pruned(tmp_path, steps=2, until=["params<=0.9"])
    assert gather(str(tmp_path)).unfinished == ()


def test_of_two_runs_of_the_same_settings_and_seed_the_newer_stands(tmp_path, pruned):
    old = pruned(tmp_path, changed="one")
    new = pruned(tmp_path, changed="other")
    stamp = new.folder / "run.json"
    os.utime(stamp, (stamp.stat().st_atime, stamp.stat().st_mtime + 10))
    found = gather(str(tmp_path))
    assert [run.key for run in found.runs] == [new.key]
    (line,) = found.unfinished
    assert line.startswith(f"{old.key} is passed over: {new.key} has the same settings")


def test_nothing_to_report_is_an_error_of_a_line(tmp_path, commit, make_record):
    with pytest.raises(RunError, match="There is no folder"):
        gather(str(tmp_path / "none"), str(tmp_path / "none"))
    with pytest.raises(RunError, match="holds no pruning run"):
        gather(str(tmp_path))
    config = {"model": "tiny", "dataset": "digits", "method": "structured", "seed": 0}
    dense = Run(tmp_path, identify("train", config, config, {}))
    commit(dense, make_record(0))
    with pytest.raises(RunError, match="holds no pruning run"):
        gather(str(tmp_path))
    with pytest.raises(RunError, match="is a train run"):
        gather(str(dense.folder))


def test_a_folder_of_studies_names_them(tmp_path, pruned):
    pruned(tmp_path / "small")
    write_study(tmp_path / "small")
    with pytest.raises(RunError, match=r"name one: .*/small\.$"):
        gather(str(tmp_path))


def test_a_damaged_study_is_an_error(tmp_path, pruned):
    pruned(tmp_path)
    (tmp_path / "study.json").write_text("{", encoding="utf-8")
    with pytest.raises(RunError, match=r"study\.json cannot be read"):
        gather(str(tmp_path))
