"""Parts of a study: some of its runs, and the same elsewhere."""

from __future__ import annotations

import pytest

from prunebench.config import RunConfig
from prunebench.errors import ConfigError
from prunebench.studies.file import read_study
from prunebench.studies.parts import config_of, outside, parts_of, suffix
from prunebench.studies.record import record_of
from prunebench.studies.study import experiments_of, folder_of, part_of

TEXT = """
[grid]
seed = [0, 1]
[[experiments]]
model = "resnet18"
dataset = "digits"
criterion = ["l1", "random"]
[[experiments]]
model = "bert"
criterion = ["l1", "random"]
[comparisons]
against = ["random"]
"""


@pytest.fixture
def study(tmp_path):
    """Reads the study, and plans its runs."""
    (tmp_path / "s.toml").write_text(TEXT, encoding="utf-8")

    def make(sets=(), only=()):
        found = read_study(tmp_path / "s.toml", sets, only)
        return found, experiments_of(found, str(tmp_path / "runs"))

    return make


def test_values_are_as_in_toml_or_text():
    config = config_of(["dataset=fashion-mnist", "epochs = 3", "finetune-lr=1e-3", 'prune=["heads"]', "epochs=4"])
    assert config == RunConfig(dataset="fashion-mnist", epochs=4, finetune_lr=1e-3, prune=("heads",))


@pytest.mark.parametrize(
    ("sets", "ending"),
    [
        (("dataset=fashion-mnist",), "-fashion-mnist"),
        (("epochs=3", "dataset=mnist"), "-mnist-epochs-3"),
        (("threads=2", "data_dir=/elsewhere"), ""),
        ((), ""),
    ],
)
def test_the_name_of_a_study_tells_what_else_decides_its_results(sets, ending):
    assert suffix(config_of(sets)) == ending


def test_what_is_set_wins_over_all_that_the_file_says_in_a_folder_of_its_own(study, tmp_path):
    found, planned = study(["seed=7", "epochs=2"])
    assert {(each.settings.seed, each.settings.epochs) for each in planned} == {(7, 2)}
    assert len(planned) == 4
    assert folder_of(planned) == tmp_path / "runs" / "s-seed-7-epochs-2"
    assert record_of(found, planned).set == ("seed=7", "epochs=2")


def test_only_some_runs_are_a_part_of_the_same_study(study, tmp_path):
    whole, planned = study()
    found, again = study(only=["model=bert", "seed=1"])
    assert [each.run.key for each in again] == [each.run.key for each in planned]
    assert record_of(found, again) == record_of(whole, planned)
    part = part_of(found, again)
    assert {(each.settings.model, each.settings.seed) for each in part} == {("bert", 1)}
    assert len(part_of(study(only=["seed=0", "seed=1", "criterion=l1"])[0], planned)) == 4
    assert part_of(whole, planned) == planned


def test_what_is_set_and_does_not_fit_is_told_and_can_be_left_out(study, caplog):
    with pytest.raises(ConfigError, match=r"bert reads text, but mnist holds images.* left out with --only"):
        study(["dataset=mnist"])
    found, planned = study(["dataset=mnist"], ["model=resnet18"])
    assert {each.settings.model for each in planned} == {"resnet18"}
    assert [cell.title for cell in record_of(found, planned).family.cells] == ["resnet18 on mnist, structured, 0.1"]
    assert any("runs of bert are left out: bert reads text" in message for message in caplog.messages)
    with pytest.raises(ConfigError, match="bert reads text"):
        study(["dataset=mnist"], ["model=bert"])


def test_no_run_that_is_meant_is_told(study):
    with pytest.raises(ConfigError, match="--only seed=9: the study s has no such run"):
        part_of(*study(only=["seed=9"]))


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (config_of, "dataset", "--set dataset: expected NAME=VALUE"),
        (config_of, "datset=x", "'datset' is no setting. Did you mean 'dataset'"),
        (config_of, "epochs=many", "--set: --epochs many: expected a whole number"),
        (parts_of, "threads=2", "'threads' is no setting that tells runs apart"),
        (parts_of, "seed=-1", "--only: --seed -1"),
    ],
)
def test_what_is_no_setting_is_told(read, text, message):
    with pytest.raises(ConfigError, match=message):
        read([text])


def test_a_config_is_outside_if_it_says_otherwise():
    assert outside(RunConfig(model="bert"), {"model": ["resnet18"]})
    assert not outside(RunConfig(model="bert"), {"model": ["resnet18", "bert"]})
    assert not outside(RunConfig(model="bert"), {"seed": [0]})  # of which it says nothing
