"""A study's folder tells what the study consists of, and is that of one file."""

from __future__ import annotations

import json
import shutil

import msgspec
import pytest

from prunebench.errors import ConfigError, DiskError
from prunebench.studies.file import read_study
from prunebench.studies.record import StudyRecord, check_name, write_study
from prunebench.studies.study import experiments_of, folder_of

SMALL = '[base]\nmodel = "resnet18"\n'


def test_all_runs_are_in_the_folder_of_the_study_which_says_what_it_consists_of(tmp_path):
    path = tmp_path / "my-study.toml"
    path.write_text(SMALL + f'runs_dir = "{tmp_path / "kept"}"\n[grid]\nseed = [0, 1]\n', encoding="utf-8")
    study = read_study(path)
    planned = experiments_of(study)
    assert {each.run.root for each in planned} == {tmp_path / "kept" / "my-study"}
    assert not (tmp_path / "kept").exists()
    write_study(study, planned)
    found = msgspec.json.decode((folder_of(planned) / "study.json").read_bytes(), type=StudyRecord)
    assert (found.name, found.source) == ("my-study", path.read_text(encoding="utf-8"))
    assert found.runs == tuple(each.run.key for each in planned)
    assert json.loads((folder_of(planned) / "study.json").read_text(encoding="utf-8"))["format"] == found.format


def test_two_files_of_one_name_do_not_replace_each_other(tmp_path):
    studies = {}
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "same.toml").write_text(f"{SMALL}seed = {ord(name)}\n", encoding="utf-8")
        study = read_study(tmp_path / name / "same.toml")
        studies[name] = study, experiments_of(study, str(tmp_path / "runs"))
    check_name(*studies["a"])
    write_study(*studies["a"])
    check_name(*studies["a"])
    told = rf"runs/same holds the study of {tmp_path}/a/same\.toml, another file of this name\. Rename one"
    with pytest.raises(ConfigError, match=told):
        check_name(*studies["b"])
    check_name(studies["b"][0], experiments_of(studies["b"][0], str(tmp_path / "other")))


def test_a_study_whose_file_was_moved_or_copied_with_its_runs_goes_on(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    (old / "same.toml").write_text(SMALL, encoding="utf-8")
    study = read_study(old / "same.toml")
    write_study(study, experiments_of(study, str(old / "runs")))
    shutil.copytree(old, new)
    study = read_study(new / "same.toml")
    check_name(study, experiments_of(study, str(new / "runs")))
    (old / "same.toml").rename(old / "elsewhere.toml")
    (old / "below").mkdir()
    (old / "elsewhere.toml").rename(old / "below" / "same.toml")
    study = read_study(old / "below" / "same.toml")
    check_name(study, experiments_of(study, str(old / "runs")))
    folder_of(experiments_of(study, str(old / "runs"))).joinpath("study.json").write_text("{")
    check_name(study, experiments_of(study, str(old / "runs")))  # it is written anew


@pytest.mark.parametrize("link", ["same", "same/study.json"])
def test_a_study_is_not_written_through_a_link(link, tmp_path):
    (tmp_path / "same.toml").write_text(SMALL, encoding="utf-8")
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "study.json").write_text("{}")
    place = tmp_path / "runs" / link
    place.parent.mkdir(parents=True)
    place.symlink_to(tmp_path / "precious" / ("" if link == "same" else "study.json"))
    study = read_study(tmp_path / "same.toml")
    with pytest.raises(DiskError, match=f"{place} is a link"):
        write_study(study, experiments_of(study, str(tmp_path / "runs")))
    assert (tmp_path / "precious" / "study.json").read_text() == "{}"
