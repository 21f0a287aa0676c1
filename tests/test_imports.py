"""The house stands: the order of its rooms, their doors, and what is never called."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import prunebench

ROOT = Path(prunebench.__file__).parent
VOCABULARY = (
    "errors",
    "reading",
    "showing",
    "records",
    "config",
    "user_code",
    "registry",
    "seeding",
    "statistics",
    "alternation",
)
"""Modules at the top, which every room may use."""

ORDER = [
    *VOCABULARY,
    *("runs", "models", "data", "pruning", "training", "tracking", "experiment", "latency"),
    *("results", "comparison", "plots", "studies", "report", "notebooks", "cli"),
]
"""No module imports what stands below it here; between those at the top, too."""

WITHOUT_TORCH = [
    *VOCABULARY,
    *("runs", "tracking", "results", "comparison", "plots", "report", "notebooks", "cli.main"),
    *("models.architecture", "models.inputs", "models.masks", "data.dataset", "data.task", "pruning.registry"),
    *("experiment.goals", "experiment.experiment", "experiment.checks", "experiment.resolve"),
    *("experiment.identity", "experiment.plan"),
    *("latency.backends", "latency.config", "latency.steps", "latency.onnx_files"),
    *("studies.file", "studies.record", "studies.executors", "studies.jobs", "studies.timing"),
]
"""Modules, and rooms with all that is in them, that import neither torch nor anything else that takes long."""

FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): ast.parse(
        path.read_text(encoding="utf-8")
    )
    for path in sorted(ROOT.rglob("*.py"))
    if path.relative_to(ROOT).parts not in (("__init__.py",), ("__main__.py",))
}
ROOMS = [name for name in ORDER if (ROOT / name).is_dir()]


def imports(tree):
    """Names that are imported from prunebench, in functions and for type checkers too, as `module.name`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("prunebench.") for alias in node.names if "prunebench" in alias.name)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if node.module.split(".")[0] == "prunebench":
                inside = node.module.removeprefix("prunebench").removeprefix(".")
                yield from (f"{inside}.{alias.name}".removeprefix(".") for alias in node.names)


def modules(tree):
    """The modules of prunebench that are imported."""
    for name in imports(tree):
        yield name if name in FILES else name.rpartition(".")[0]


def foreign(tree):
    """The packages that are imported, in functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]


def doors(room):
    """The modules that the room's docstring names, one a line with what it is."""
    return set(re.findall(r"^    (\w+)  +\S", ast.get_docstring(FILES[room], clean=False), re.MULTILINE))


def test_at_the_top_are_the_vocabulary_and_rooms():
    assert {name.split(".")[0] for name in FILES} == set(ORDER)
    assert set(ORDER) - set(ROOMS) == set(VOCABULARY)


@pytest.mark.parametrize("name", FILES)
def test_no_module_imports_what_stands_below_it(name):
    room = name.split(".")[0]
    below = [other for other in modules(FILES[name]) if ORDER.index(other.split(".")[0]) > ORDER.index(room)]
    assert below == []


@pytest.mark.parametrize("name", FILES)
def test_what_is_private_stays_in_its_room(name):
    room = name.split(".")[0]
    names = [other for other in imports(FILES[name]) if other.split(".")[0] != room]
    assert [other for other in names if any(part.startswith("_") for part in other.split("."))] == []
    entered = {other for other in modules(FILES[name]) if other.split(".")[0] in ROOMS if other.split(".")[0] != room}
    assert [other for other in entered if other.split(".")[1] not in doors(other.split(".")[0])] == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_the_doors_that_it_names_and_each_is_used(room):
    assert doors(room) <= {name.split(".")[1] for name in FILES if name.startswith(f"{room}.")}
    used = {
        other.split(".")[1]
        for name, tree in FILES.items()
        for other in modules(tree)
        if name.split(".")[0] != room and other.startswith(f"{room}.")
    }
    public = {home.split(".")[1] for home in prunebench._HOMES.values() if home.startswith(f"{room}.")}
    assert doors(room) <= used | public | {"start"}  # the console script


def test_there_are_no_circles():
    graph = {name: {other for other in modules(tree) if other != name} for name, tree in FILES.items()}
    while free := [name for name, others in graph.items() if not others & graph.keys()]:
        for name in free:
            del graph[name]
    assert graph == {}


@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith("cli")])
def test_only_the_command_line_prints_exits_or_knows_click(name):
    assert "click" not in set(foreign(FILES[name]))
    called = {ast.unparse(node.func) for node in ast.walk(FILES[name]) if isinstance(node, ast.Call)}
    assert called.isdisjoint({"print", "exit", "quit", "sys.exit", "os._exit"})


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_unpickled_or_evaluated_and_no_name_of_an_attribute_comes_from_outside(name):
    called = {ast.unparse(node.func) for node in ast.walk(FILES[name]) if isinstance(node, ast.Call)}
    assert called.isdisjoint({"eval", "exec", "pickle.load", "pickle.loads"})


@pytest.mark.parametrize("name", [name for name in FILES if name != "runs.files"])
def test_one_module_makes_moves_and_deletes_files_since_it_follows_no_links(name):
    deeds = {"rmtree", "unlink", "rename", "rmdir", "mkdir", "makedirs", "mkdtemp", "mkstemp", "symlink_to", "touch"}
    called = [node.func for node in ast.walk(FILES[name]) if isinstance(node, ast.Call)]
    assert {function.attr for function in called if isinstance(function, ast.Attribute)}.isdisjoint(deeds)


def test_names_and_help_are_had_without_torch():
    code = "\n".join(
        [
            *(f"import prunebench.{name}" for name in FILES if {name, name.split(".")[0]} & set(WITHOUT_TORCH)),
            "from prunebench import RunConfig, StepRecord, pruning_run",
            "from prunebench.models.architecture import models",
            "from prunebench.data.dataset import datasets",
            "from prunebench.latency.backends import backends",
            "from prunebench.pruning.registry import criteria, methods",
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
        "Runs",
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
