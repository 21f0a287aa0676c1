"""A study's file becomes a plan of runs."""

from __future__ import annotations

import pytest

from prunebench.errors import ConfigError
from prunebench.studies.file import read_study
from prunebench.studies.study import experiments_of

SMALL = '[base]\nmodel = "resnet18"\n'


@pytest.fixture
def planned(tmp_path):
    """Makes the plan of a study's text: the settings, by what is told apart."""

    def make(text, *names, **files):
        for name, content in files.items():
            (tmp_path / f"{name}.toml").write_text(content, encoding="utf-8")
        (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
        found = experiments_of(read_study(tmp_path / "mine.toml"), str(tmp_path / "runs"))
        return [tuple(getattr(each.settings, name) for name in names) for each in found]

    return make


def test_every_combination_of_the_grid_is_a_run(planned):
    text = SMALL + '[grid]\nmethod = ["structured", "unstructured"]\nfraction = [0.1, 0.5]\nseed = [0, 1]\n'
    assert planned(text, "method", "fraction", "seed") == [
        (method, fraction, seed)
        for method in ("structured", "unstructured")
        for fraction in (0.1, 0.5)
        for seed in (0, 1)
    ]


def test_without_a_grid_there_is_one_run(planned):
    assert planned(SMALL, "model", "seed") == [("resnet18", 0)]


def test_what_has_all_settings_of_an_exclusion_is_left_out(planned):
    grid = '[grid]\nmethod = ["structured", "unstructured"]\nseed = [0, 1]\n'
    exclude = '[[exclude]]\nmethod = "structured"\nseed = 1\n[[exclude]]\ncriterion = "l1"\nseed = 0\n'
    assert planned(SMALL + grid + exclude, "method", "seed") == [("structured", 0), ("unstructured", 1)]


def test_an_exclusion_that_leaves_nothing_out_is_warned_of(planned, caplog):
    text = SMALL + "[grid]\nseed = [0, 1]\n[[exclude]]\nseed = 1\n[[exclude]]\nseed = 2\nfraction = 0.1\n"
    assert planned(text, "seed") == [(0,)]
    assert caplog.messages == [
        "study mine, [[exclude]] seed = 2, fraction = 0.1: no run has these settings; nothing is left out"
    ]


def test_an_experiment_wins_over_the_base_and_the_grid_over_both(planned):
    text = '[base]\nepochs = 3\nbatch_size = 8\nseed = 5\n[[experiments]]\nmodel = "resnet18"\nepochs = 4\n'
    grid = "[grid]\nseed = [6]\n"
    assert planned(text + grid, "model", "epochs", "batch_size", "seed") == [("resnet18", 4, 8, 6)]


def test_lists_of_an_experiment_are_combined_but_for_those_that_are_values(planned):
    text = '[[experiments]]\nmodel = ["resnet18", "alexnet"]\nfraction = [0.1, 0.2]\nexclude = ["*.0", "conv1"]\n'
    assert planned(text, "model", "fraction", "exclude") == [
        (model, fraction, ("*.0", "conv1")) for model in ("resnet18", "alexnet") for fraction in (0.1, 0.2)
    ]


def test_columns_that_are_joined_to_a_text_are_one_value(planned, tmp_path):
    for name in ("train", "test"):
        (tmp_path / f"{name}.csv").write_text("1,a,b\n2,c,d\n")
    text = f"[[experiments]]\nmodel = 'bert'\ndataset = 'text-file'\ndata_dir = '{tmp_path.as_posix()}'\n"
    text += "text_column = ['2', '3']\nlabel_column = '1'\nheader = false\nseed = [0, 1]\n"
    assert planned(text, "text_column", "header", "seed") == [(("2", "3"), False, 0), (("2", "3"), False, 1)]


def test_experiments_may_be_files_beside_the_study(planned):
    found = planned(
        'experiments = ["one.toml", "two.toml"]\n[base]\nepochs = 3\n[grid]\nseed = [0, 1]\n',
        *("model", "epochs", "seed"),
        one='model = "resnet18"\n',
        two='model = "bert"\nepochs = 1\n',
    )
    assert found == [("resnet18", 3, 0), ("resnet18", 3, 1), ("bert", 1, 0), ("bert", 1, 1)]


@pytest.mark.parametrize("table", ["[base]\nweights =", "[grid]\nweights =", "[[experiments]]\nweights ="])
def test_a_first_phase_of_training_is_a_file_beside_the_study(table, tmp_path):
    (tmp_path / "head.toml").write_text("epochs = 2\nfreeze = true\n", encoding="utf-8")
    value = '["head.toml"]' if "grid" in table else '"head.toml"'
    path = tmp_path / "s.toml"
    path.write_text(f'{table} {value}\n{"[base]" if "base" not in table else ""}\nmodel = "resnet18"\n', "utf-8")
    (experiment,) = experiments_of(read_study(path), str(tmp_path / "runs"))
    assert [phase.settings.epochs for phase in experiment.phases] == [2, 2]


def test_controls_prune_at_random_and_not_at_all_and_one_serves_all_fractions(planned):
    text = "controls = true\n" + SMALL + "[grid]\nfraction = [0.1, 0.5]\n"
    found = planned(text.replace("[grid]", "iterations = 4\n[grid]"), "method", "criterion", "fraction", "iterations")
    assert found == [
        ("structured", "l2", 0.1, 4),
        ("structured", "random", 0.1, 4),
        ("none", "l1", 0.1, 4),
        ("structured", "l2", 0.5, 4),
        ("structured", "random", 0.5, 4),
    ]


def test_one_control_is_as_long_as_the_longest_run(planned):
    text = 'controls = true\n[base]\nmodel = "resnet18"\n[[experiments]]\niterations = 2\nfraction = 0.5\n'
    found = planned(text + "[[experiments]]\niterations = 6\n", "method", "criterion", "iterations")
    assert [iterations for method, _, iterations in found if method == "none"] == [6]


def test_controls_may_be_of_some_models(planned):
    text = 'controls = ["alexnet"]\n[grid]\nmodel = ["resnet18", "alexnet"]\n'
    assert [model for model, method in planned(text, "model", "method") if method == "none"] == ["alexnet"]


@pytest.mark.parametrize("named", ["net.py:small", "./net.py:small", "{folder}/net.py:small", "parts/../net.py:small"])
@pytest.mark.parametrize("asked", ["net.py:small", "./net.py:small", "{folder}/net.py:small"])
def test_controls_may_be_of_a_users_own_models_however_the_file_is_named(planned, named, asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parts").mkdir()
    (tmp_path / "net.py").write_text("def small(classes):\n    pass\n\n\ndef large(classes):\n    pass\n")
    models = [named.format(folder=tmp_path), "net.py:large", "resnet18"]
    text = f'controls = ["{asked.format(folder=tmp_path)}", "resnet18"]\n[grid]\nmodel = {models}\n'
    found = planned(text, "model", "method", "criterion")
    assert [model for model, method, _ in found if method == "none"] == [models[0], "resnet18"]
    assert [model for model, _, criterion in found if criterion == "random"] == [models[0], "resnet18"]


def test_controls_of_a_path_are_of_that_file_and_no_other_of_its_name(planned, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "net.py").write_text(f"def small(classes):\n    return {folder!r}\n")
    models = ["one/net.py:small", "other/net.py:small"]
    text = f"[grid]\nmodel = {models}\n"
    assert _models_of_controls(planned, 'controls = ["other/net.py:small"]\n' + text) == models[1:]
    assert _models_of_controls(planned, 'controls = ["net.py:small"]\n' + text) == models
    assert _models_of_controls(planned, "controls = true\n" + text) == models


def _models_of_controls(planned, text):
    return [model for model, method in planned(text, "model", "method") if method == "none"]


def test_runs_that_are_the_same_are_planned_once(planned):
    assert len(planned(SMALL + '[grid]\nmethod = ["structured", "structured"]\n', "method")) == 1
    random = 'controls = true\n[base]\nmodel = "resnet18"\ncriterion = "random"\n'
    assert planned(random, "method", "criterion") == [("structured", "random"), ("none", "l1")]


def test_threads_are_fixed_for_every_run(planned):
    assert planned(SMALL, "threads") == [(1,)]
    assert planned(SMALL + "threads = 3\n", "threads") == [(3,)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[grid]\nmodel = ["resnet18", "resnet19"]\n', "Study mine, model = 'resnet19': .*resnet19"),
        (SMALL + "[grid]\nfraction = [0.1, 7]\n", r"fraction = 7: --fraction 7"),
        ("", r"Study mine, \[base\]: --model is missing"),
        (SMALL + "[[exclude]]\nseed = 0\n", "has no run"),
    ],
)
def test_a_combination_that_cannot_run_is_named(text, message, planned):
    with pytest.raises(ConfigError, match=message):
        planned(text)


def test_a_first_phase_can_be_excluded(tmp_path):
    (tmp_path / "head.toml").write_text("epochs = 2\nfreeze = true\n", encoding="utf-8")
    path = tmp_path / "s.toml"
    text = '[base]\nmodel = "resnet18"\n[grid]\nweights = ["none", "head.toml"]\n[[exclude]]\nweights = "head.toml"\n'
    path.write_text(text, encoding="utf-8")
    assert [each.settings.weights for each in experiments_of(read_study(path), str(tmp_path))] == ["none"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('controls = ["alexnt"]\n[base]\nmodel = "alexnet"\n', "it has no runs of 'alexnt', but of alexnet"),
        ('controls = true\n[base]\nmodel = "alexnet"\nuntil = ["macs<=0.5"]\n', "Leave controls out"),
        ('[base]\nmodel = "alexnet"\nkeep = "records"\n[efficiency]\nbatch_sizes = [1]\n', "Leave one out"),
    ],
)
def test_what_a_study_cannot_do_is_told_before_it_begins(text, message, tmp_path):
    (tmp_path / "s.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        experiments_of(read_study(tmp_path / "s.toml"), str(tmp_path))
