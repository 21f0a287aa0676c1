"""Imports run one way: from the bottom of ORDER to its top, never back and never sideways between folders."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import prunebench

ROOT = Path(prunebench.__file__).parent
ORDER = [
    *("errors", "config", "registry", "records", "seeding"),
    *("files", "lock", "manifest", "repeatable", "store", "catalogue"),
    *("statistics", "sparsity", "hardware", "goals"),
    *("data", "datasets", "inputs", "task", "architecture", "models", "methods", "strategies"),
    *("resolve", "runs", "overview", "plan", "repeating", "matrices", "tables", "latency_tables"),
    *("curves", "selection", "matrix_text", "matrix_files", "comparing", "plots"),
    *("tasks", "checkpoint", "weights", "loading", "exporting"),
    *("memory", "costs", "sizes", "collapse", "journal", "masking", "training", "machine"),
    *("halfway", "bench", "loop", "verification", "untrained", "efficiency", "searches", "seeking"),
    *("studies", "reporting", "cli"),
]
WITHOUT_TORCH = [
    *("errors", "config", "registry", "records", "seeding"),
    *("files", "lock", "manifest", "repeatable", "store", "catalogue"),
    *("statistics", "sparsity", "hardware", "goals", "data", "inputs", "task", "architecture", "methods", "resolve"),
    *("runs", "overview", "plan", "matrices", "tables", "latency_tables", "efficiency.config", "efficiency.protocol"),
    *("efficiency.backends", "efficiency.steps", "efficiency.onnx_files", "curves", "selection", "repeating"),
    *("matrix_text", "matrix_files", "comparing.measures", "comparing.verdicts", "comparing.matching"),
    *("comparing.tables", "plots", "plots.drawing"),
    *("searches", "plots.material", "reporting.document", "reporting.gathering", "reporting.page"),
    *("studies.study", "studies.executors", "cli.main"),
]
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(ROOT.rglob("*.py"))
    if path.relative_to(ROOT).parts not in (("__init__.py",), ("__main__.py",))
}


def imports(tree):
    """Full names of the modules that are imported, in functions and for type checkers too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            parts = node.module.split(".")
            if parts == ["prunebench"]:
                yield from (f"prunebench.{alias.name}" for alias in node.names)
            else:
                yield node.module


def place(module):
    return ORDER.index(module.split(".")[0])


def test_every_file_has_a_place_in_the_order():
    assert {name.split(".")[0] for name in FILES} == set(ORDER)


@pytest.mark.parametrize("name", FILES)
def test_imports_run_one_way(name):
    own = [module.removeprefix("prunebench.") for module in imports(FILES[name]) if module.startswith("prunebench.")]
    top = name.split(".")[0]
    back = [module for module in own if place(module) >= place(name) and module.split(".")[0] != top]
    assert back == []


FOLDERS = ("models", "datasets", "strategies", "efficiency")


@pytest.mark.parametrize("name", [name for name in FILES if name.split(".")[0] in FOLDERS])
def test_folders_do_not_know_each_other(name):
    others = {f"prunebench.{folder}" for folder in FOLDERS if folder != name.split(".")[0]}
    assert [module for module in imports(FILES[name]) if ".".join(module.split(".")[:2]) in others] == []


@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith("cli")])
def test_only_the_command_line_prints_exits_or_knows_click(name):
    assert "click" not in {module.split(".")[0] for module in imports(FILES[name])}
    called = {ast.unparse(node.func) for node in ast.walk(FILES[name]) if isinstance(node, ast.Call)}
    assert called.isdisjoint({"print", "exit", "quit", "sys.exit", "os._exit"})


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_unpickled_or_evaluated_and_no_name_of_an_attribute_comes_from_outside(name):
    called = {ast.unparse(node.func) for node in ast.walk(FILES[name]) if isinstance(node, ast.Call)}
    assert called.isdisjoint({"eval", "exec", "pickle.load", "pickle.loads"})


def test_names_and_help_are_had_without_torch():
    code = "\n".join(
        [
            *(f"import prunebench.{name}" for name in WITHOUT_TORCH),
            "from prunebench import RunConfig, StepRecord, pruning_run",
            "from prunebench.architecture import models",
            "from prunebench.data import datasets",
            "from prunebench.efficiency.backends import backends",
            "from prunebench.methods import criteria, methods",
            "for registry in (models, datasets, methods, criteria, backends):",
            "    assert registry.names()",
            "pruning_run(RunConfig(model='resnet18'))",
            "import sys",
            "heavy = {'torch', 'torchvision', 'transformers', 'sklearn', 'datasets', 'matplotlib', 'plotly', 'scipy'}",
            "print(sorted(heavy & set(sys.modules)))",
        ]
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_are_these():
    assert prunebench.__all__ == [
        "Dataset",
        "EfficiencyConfig",
        "LatencyRecord",
        "PrunebenchError",
        "RunConfig",
        "Split",
        "StepRecord",
        "TimingRecord",
        "dense_run",
        "load",
        "prune",
        "pruning_run",
        "reevaluate",
        "seek",
        "time_run",
        "time_untrained",
        "train",
    ]
    for name in prunebench.__all__:
        assert getattr(prunebench, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        _ = prunebench.trian
