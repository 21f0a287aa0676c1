"""What of an experiment is there already: whole runs, runs of the same settings, timings; and what has changed."""

from __future__ import annotations

import msgspec
import pytest

from prunebench.config import RunConfig
from prunebench.errors import RunError
from prunebench.experiment.existing import (
    changed_contents,
    check_contents,
    efficiency_run,
    finished,
    finished_records,
    of_run,
    pruned_otherwise,
    trim,
    why_new,
)
from prunebench.experiment.resolve import dense_run, pruning_run, resolve
from prunebench.runs.run import Run

TIMING = {"backend": "eager", "dtype": "fp32", "batch_sizes": (1, 4), "time_budget": 60.0}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def write_net(tmp_path):
    """Writes a user's model, and returns the reference to it."""

    def write(body="nn.Linear(3, classes)"):
        (tmp_path / "net.py").write_text(f"from torch import nn\n\n\ndef build(classes):\n    return {body}\n")
        return f"{tmp_path / 'net.py'}:build"

    return write


def test_a_new_run_says_which_file_changed(write_net, make_record, commit):
    config = RunConfig(model=write_net())
    first = dense_run(config)
    assert why_new(first) is None
    commit(first, make_record())
    assert why_new(first) is None
    write_net("nn.Identity()")
    assert why_new(dense_run(config)) == f"model changed since run {first.key}, so this is a new run"
    assert why_new(dense_run(RunConfig(model=config.model, seed=1))) is None


def test_a_new_run_of_the_same_files_is_computed_differently(make_record, commit):
    run = pruning_run(RunConfig(model="resnet18"))
    other = Run(run.root, msgspec.structs.replace(run.manifest, key="resnet18-structured-0000000000", results=1))
    commit(other, make_record())
    told = "prunebench computes it differently now since run resnet18-structured-0000000000, so this is a new run"
    assert why_new(run) == told
    assert why_new(dense_run(RunConfig(model="resnet18"))) is None


def test_the_files_of_a_run_that_are_not_what_they_were_are_named(write_net, make_record, commit):
    config = RunConfig(model=write_net())
    runs = dense_run(config), pruning_run(config)
    assert [changed_contents(run, resolve(config)) for run in runs] == [[], []]
    write_net("nn.Identity()")
    assert [changed_contents(run, resolve(config)) for run in runs] == [["model"], ["model"]]


def test_a_run_is_finished_with_the_steps_that_are_asked_for(make_record, commit):
    config = RunConfig(model="resnet18", iterations=2)
    run, dense, settings = pruning_run(config), dense_run(config), resolve(config).settings
    records = [make_record(step) for step in range(3)]
    commit(run, *records[:2])
    assert not finished(run, settings)
    assert finished_records(run, settings) is None
    shorter = resolve(RunConfig(model="resnet18", iterations=1)).settings
    assert finished_records(run, shorter) == records[:2]
    commit(run, records[2])
    assert finished_records(run, settings) == records
    assert not finished(dense, settings)
    commit(dense, records[0])
    assert finished(dense, settings)


@pytest.mark.parametrize(
    ("keep", "needed", "left"),
    [
        ("all", [], [0, 1, 2]),
        ("last", [], [2]),
        ("last", [0], [0, 2]),
        ("records", [], []),
        ("records", [1], [1]),
    ],
)
def test_checkpoints_go_that_nobody_asked_for_or_needs_and_that_of_a_training_stays(
    keep, needed, left, *, make_record, commit
):
    config = RunConfig(model="resnet18", iterations=2, keep=keep)
    run, dense, settings = pruning_run(config), dense_run(config), resolve(config).settings
    structure = {"write": lambda folder: (folder / "structure.json").write_text("{}")}
    commit(run, *(make_record(step) for step in range(3)), **structure)
    commit(dense, make_record(0), **structure)
    trim(run, settings, needed)
    trim(dense, settings)
    assert (run.checkpoints(), dense.checkpoints()) == (left, [0])
    assert len(run.records()) == 3


def test_a_run_tells_the_settings_that_it_was_made_of(tmp_path):
    config = RunConfig(model="resnet18", exclude=("fc",), lr=1, seed=3, model_arg=("stem=small",), results_dir="there")
    run, settings = pruning_run(config), resolve(config).settings
    places = {"runs_dir": str(run.root), "results_dir": "performance"}
    assert of_run(run, {}).settings == msgspec.structs.replace(settings, **places)
    given = {"seed": 4, "threads": 2, "results_dir": "here"}
    assert of_run(run, given).settings == msgspec.structs.replace(settings, **places | given)


def test_a_run_does_not_say_where_to_write(tmp_path):
    made = pruning_run(RunConfig(model="resnet18"))
    config = made.manifest.config | {"runs_dir": "/etc", "results_dir": "/etc"}
    run = Run(tmp_path / "runs", msgspec.structs.replace(made.manifest, config=config))
    experiment = of_run(run, {})
    assert (experiment.settings.runs_dir, experiment.settings.results_dir) == (str(tmp_path / "runs"), "performance")
    assert efficiency_run(experiment, TIMING, run).root == tmp_path / "runs"


@pytest.mark.parametrize("changes", [{"lr": "high"}, {"until": ["everything"]}, {"seed": -1}, {"exclude": 3}])
def test_settings_that_are_none_are_damage(changes):
    made = pruning_run(RunConfig(model="resnet18"))
    run = Run(made.root, msgspec.structs.replace(made.manifest, config=made.manifest.config | changes))
    with pytest.raises(RunError, match=f"The settings of run {run.key} in .* are damaged: "):
        of_run(run, {})


def test_timings_have_a_run_of_their_own_for_every_setting_machine_and_thing_timed(monkeypatch):
    experiment = resolve(RunConfig(model="resnet18", threads=1))

    def key(timing=TIMING, timed=experiment.run, about=experiment):
        return efficiency_run(about, timing, timed).key

    assert key() == key() == efficiency_run(resolve(RunConfig(model="resnet18", threads=1)), TIMING, experiment.run).key
    found = [
        key(),
        key(TIMING | {"batch_sizes": (1,)}),
        key(timed=None),
        key(timed=pruning_run(RunConfig(model="resnet18", seed=1))),
        key(about=resolve(RunConfig(model="resnet18", threads=2))),
        key({}),
    ]
    monkeypatch.setattr("platform.node", lambda: "another")
    assert len({*found, key()}) == 7
    run = efficiency_run(experiment, TIMING, experiment.run)
    assert (run.manifest.kind, run.manifest.source) == ("efficiency", experiment.run.key)
    assert efficiency_run(experiment, TIMING, None).manifest.source is None


def test_of_a_run_from_before_there_was_a_choice_images_were_cropped():
    run = pruning_run(RunConfig(model="resnet18"))
    assert of_run(run, {}).settings.resize == "auto"
    older = {name: value for name, value in run.manifest.config.items() if name != "resize"}
    assert of_run(Run(run.root, msgspec.structs.replace(run.manifest, config=older)), {}).settings.resize == "crop"


@pytest.mark.parametrize("scope", ["global", "layerwise"])
def test_what_a_structured_run_has_stored_of_how_single_weights_are_ranked_is_left_out(scope):
    run = pruning_run(RunConfig(model="vgg16"))
    before = Run(run.root, msgspec.structs.replace(run.manifest, config=run.manifest.config | {"scope": scope}))
    again = of_run(before, {})
    assert (again.settings.scope, again.settings.targets) == (None, None)
    assert again.run.key == run.key
    single = pruning_run(RunConfig(model="vgg16", method="unstructured", scope=scope))
    assert of_run(single, {}).run.key == single.key


@pytest.mark.parametrize(
    "about", [{"scope": "global"}, {"scope": "isomorphic", "floor": 0.0}, {"scope": "lamp"}, {"group_reduction": "max"}]
)
def test_how_units_of_several_layers_compete_is_as_it_was(about):
    run = pruning_run(RunConfig(model="vgg16", **about))
    again = of_run(run, {})
    assert again.run.key == run.key != pruning_run(RunConfig(model="vgg16")).key
    assert again.settings.scope == (None if "scope" not in about else run.manifest.config["scope"])
    others = pruned_otherwise(again, {"criterion": "l1"}), pruned_otherwise(again, {"method": "unstructured"})
    assert [each.settings.scope for each in others] == [again.settings.scope, "global"]


def test_data_has_changed_since_a_run_of_the_same_folder_alone(run_on, tmp_path):
    first, elsewhere = run_on("A"), run_on("B", "warm")
    assert why_new(first) is None
    assert why_new(elsewhere) is None
    changed = run_on("A", "cold")
    assert why_new(changed) == f"data changed since run {first.key}, so this is a new run"
    with pytest.raises(RunError, match=r"other contents of: data\. Its data was text-file in .*A, digest .*A .* holds"):
        check_contents(first, of_run(changed, {}))
