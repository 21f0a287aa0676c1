import hashlib
import re
import sys
from functools import cache, partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prunebench.data.dataset import datasets
from prunebench.errors import ConfigError, UnknownName
from prunebench.models.architecture import models
from prunebench.pruning.registry import criteria, methods
from prunebench.registry import Registry, call, content, import_reference, reference, without_folder

REGISTRIES = [models, datasets, methods, criteria]
NAMED = [(registry, name) for registry in REGISTRIES for name in registry.names()]
IDS = [f"{registry.kind} {name}" for registry, name in NAMED]


@pytest.fixture
def user_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def score(weight):\n    return weight.abs()\n\n\nconstant = 3\n")
    return file


@pytest.mark.parametrize(("registry", "name"), NAMED, ids=IDS)
def test_every_entry_knows_its_name_and_says_what_it_is_in_one_line(registry, name):
    entry = registry.get(name)
    assert entry.name == name
    assert entry.summary
    assert "\n" not in entry.summary


@pytest.mark.parametrize(("registry", "name"), NAMED, ids=IDS)
def test_a_mistyped_name_lists_what_exists_and_the_nearest_match(registry, name):
    with pytest.raises(UnknownName) as caught:
        registry.get(name + "x")
    assert f"There is no {registry.kind} '{name}x'. Did you mean '{name}'?" in str(caught.value)
    assert ", ".join(registry.names()) in str(caught.value)


@pytest.mark.parametrize("name", ["qqqqqqqq", "", 3, 0.5, ("zzz",)])
@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.kind)
def test_what_resembles_nothing_lists_what_exists(registry, name):
    with pytest.raises(UnknownName, match=f"^There is no {registry.kind} {re.escape(repr(name))}. There are: "):
        registry.get(name)


@pytest.mark.parametrize("registry", [models, datasets, criteria], ids=lambda registry: registry.kind)
def test_a_file_without_its_function_is_told_what_to_add(registry):
    with pytest.raises(UnknownName, match=r"Give the function in that file as well: mynet\.py:FUNCTION\."):
        registry.get("mynet.py")


def test_a_name_is_taken_once():
    registry = Registry("thing", "prunebench.pruning.criteria", lambda name, function: function)
    registry.add("one", 1)
    with pytest.raises(ValueError, match="thing 'one' is registered twice"):
        registry.add("one", 2)


def test_a_file_is_a_reference_wherever_a_name_stands(user_file):
    entry = criteria.get(f"{user_file}:score")
    assert entry.score.__name__ == "score"
    assert criteria.get(entry.score).score is entry.score


def test_a_method_is_chosen_by_name(user_file):
    for own in (f"{user_file}:score", import_reference(f"{user_file}:score")):
        with pytest.raises(UnknownName, match=r"There are: depth, none, structured, unstructured\.$"):
            methods.get(own)


def test_a_mistyped_library_is_no_module_that_failed():
    with pytest.raises(UnknownName) as caught:
        models.get("torchvison:squeezenet1_1")
    told = "There is no model 'torchvison:squeezenet1_1'. Did you mean torchvision:squeezenet1_1?"
    assert str(caught.value) == told


def test_a_module_that_is_called_nearly_as_a_library_is_imported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "timmy.py").write_text("def build(classes): ...\n")
    assert models.get("timmy:build").name == "timmy:build"


def test_a_module_is_a_reference():
    assert import_reference("prunebench.registry:reference") is reference


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("none.py:score", "none.py: there is no such file."),
        ("prunebench.nowhere:score", "importing it failed: ModuleNotFoundError"),
        ("prunebench.seeding:nothing", "has no function 'nothing'; it has: seed_of, seed_all, generator, order."),
        (":score", "importing it failed: ValueError"),
    ],
)
def test_a_reference_that_leads_nowhere_says_so(text, message):
    with pytest.raises(ConfigError) as caught:
        models.get(text)
    assert message in str(caught.value)


def test_a_file_that_fails_says_why_and_is_tried_anew(tmp_path):
    file = tmp_path / "broken.py"
    file.write_text("1 / 0\n")
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"broken\.py:f: importing it failed: ZeroDivisionError"):
            import_reference(f"{file}:f")
    file.write_text("def f():\n    return 1\n")
    assert import_reference(f"{file}:f")() == 1


def test_a_value_that_is_no_function_is_refused(user_file):
    with pytest.raises(ConfigError, match="no function 'constant'; it has: score"):
        import_reference(f"{user_file}:constant")


def test_a_changed_file_is_read_again_and_has_another_digest(user_file):
    text = f"{user_file}:score"
    first, digest = import_reference(text), content(text)
    assert import_reference(text) is first
    assert content(first) == digest
    user_file.write_text("def score(weight):\n    return weight\n")
    assert import_reference(text) is not first
    assert content(text) != digest


def test_what_is_known_is_an_entry_and_no_reference(user_file):
    assert models.known("resnet18") is models.get("resnet18")
    for name in ("resnet", f"{user_file}:score", None, 3, ("resnet18",), ["resnet18"]):
        assert models.known(name) is None


def test_a_registered_name_has_no_digest():
    assert content("resnet18") is None


def test_a_reference_leads_back_to_its_function(user_file, monkeypatch):
    function = import_reference(f"{user_file}:score")
    assert reference(function) == f"{user_file.resolve()}:score"
    assert import_reference(reference(function)) is function
    monkeypatch.chdir(user_file.parent)
    assert reference("mine.py:score") == f"{user_file.resolve()}:score"
    assert reference("resnet18") == "resnet18"


def test_what_cannot_be_imported_again_is_written_in_angle_brackets():
    def nested():
        return None

    assert re.fullmatch(r"<.*nested>", reference(nested))
    assert re.fullmatch(r"<.*lambda.*>", reference(lambda: None))
    assert content(nested) is not None


@given(st.sets(st.sampled_from("abcdef")))
def test_a_function_gets_those_arguments_that_it_names(extra):
    offered = dict.fromkeys(extra | {"a", "b"}, 1) | {"a": 2}
    assert call(lambda a, b=0: (a, b), offered) == (2, 1)
    assert call(lambda *rest, a: (a, rest), offered) == (2, ())
    assert call(lambda b=0, **rest: (b, rest), offered, {"z": 3, "b": 4}) == (4, {"z": 3})
    assert call(lambda **rest: rest, offered) == {}
    assert call(lambda a, b=0, /, c=7, *, d=8: (a, b, c, d), {"a": 2, "d": 1}) == (2, 0, 7, 1)
    assert call(lambda z=5: z, offered) == 5


def test_an_argument_that_is_not_offered_lists_those_that_are():
    with pytest.raises(ConfigError, match=r"asks for an argument 'gradient'; it can have: weight, name\."):
        call(lambda gradient: gradient, {"weight": 1, "name": 2})


def build(classes, width=4, **more):
    return classes, width, more


class Net:
    def __init__(self, classes, *, width=4):
        self.made = classes, width

    def __call__(self, classes):
        return *self.made, classes


OFFERED = {"classes": 3, "image_size": 9}
GIVEN = {"width": 8}


@pytest.mark.parametrize(
    ("function", "given", "made"),
    [
        (build, {}, (3, 4, {})),
        (build, {"width": 8, "depth": 2}, (3, 8, {"depth": 2})),
        (partial(build, width=6), {}, (3, 6, {})),
        (partial(build, width=6), GIVEN, (3, 8, {})),
        (partial(build, classes=5), {}, (5, 4, {})),  # what it has already is not taken from it
        (partial(build, 5), GIVEN, (5, 8, {})),
        (lambda classes, /: classes, {}, 3),
        (lambda image_size, classes=1, /, width=2, *rest: (image_size, classes, width, rest), GIVEN, (9, 3, 8, ())),
        (lambda: 1, {}, 1),
        (Net(1), {}, (1, 4, 3)),
        (cache(build), GIVEN, (3, 8, {})),
        (Net(1).__call__, {}, (1, 4, 3)),
    ],
)
def test_whatever_is_called_gets_what_it_asks_for(function, given, made):
    assert call(function, OFFERED, given) == made


def test_a_class_is_called_as_its_init_asks():
    assert call(Net, OFFERED, GIVEN).made == (3, 8)


@pytest.mark.parametrize("function", [type, dict, vars])
def test_what_does_not_tell_what_it_asks_for_is_refused(function):
    with pytest.raises(ConfigError, match=rf":{function.__name__} does not tell what it asks for"):
        call(function, {})


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("weight / 0", r"ZeroDivisionError: division by zero \(.*mine\.py, line 2\)\. --debug shows more"),
        ("int('a\\nb')", r"ValueError: invalid literal .*'a\\nb' \(.*mine\.py, line 2\)\. --debug shows more"),
        ("__import__('sys').exit(3)", r"SystemExit: 3 \(.*mine\.py, line 2\)\. --debug shows more"),
    ],
)
def test_a_users_function_that_fails_is_told_in_a_line(body, told, user_file):
    user_file.write_text(f"def score(weight):\n    return {body}\n")
    with pytest.raises(ConfigError, match=rf"mine\.py:score failed: {told}\.$") as caught:
        call(import_reference(f"{user_file}:score"), {"weight": 1})
    assert "\n" not in str(caught.value)


def test_a_function_that_looks_into_kwargs_is_told_to_name_what_it_needs():
    with pytest.raises(ConfigError, match=r"KeyError: 'weight' .*only what you give: name weight as a parameter\.$"):
        call(lambda **offered: offered["weight"], {"weight": 1})


def test_a_function_of_the_package_that_fails_is_a_bug_and_stays_one():
    with pytest.raises(AttributeError):
        call(without_folder.__globals__["_digest_of_model"], {"model": 1})


def test_a_dataset_is_known_by_its_digest(blobs):
    assert content(blobs()) == content(blobs()) == blobs().digest()
    one = blobs()
    one.test.inputs[3, 5, 5] += 1
    assert content(one) != content(blobs())


def test_a_model_is_known_by_its_weights_and_its_text(tiny_state, tiny_net):
    def changed(change):
        model = tiny_state().model
        with torch.no_grad():
            change(model)
        return content(model)

    digest = content(tiny_state().model)
    assert changed(lambda model: None) == digest
    assert changed(lambda model: model.features[0].weight[0, 0, 0, 0].add_(1)) != digest
    assert changed(lambda model: model.features[1].running_mean.add_(1)) != digest
    assert changed(lambda model: setattr(model.classifier[0], "p", 0.3)) != digest
    assert changed(lambda model: model.bfloat16()) != digest


@pytest.mark.parametrize("thing", [object(), 3.5, range(3)])
def test_another_object_is_refused_since_it_cannot_be_told_from_others(thing):
    with pytest.raises(ConfigError, match="is neither a function nor a model nor a Dataset; give a function"):
        content(thing)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("/some/where/net.py:build", "net.py:build"),
        ("net.py:build", "net.py:build"),
        ("resnet18", "resnet18"),
        ("package.module:make", "package.module:make"),
        ("google-bert/bert-base-uncased", "google-bert/bert-base-uncased"),
        (0.1, 0.1),
        (None, None),
        (["a.*"], ["a.*"]),
    ],
)
def test_of_a_path_only_its_name_decides(value, name):
    assert without_folder(value) == name


def test_of_a_file_that_is_there_only_its_name_decides(user_file):
    assert without_folder(str(user_file)) == "mine.py"


@pytest.mark.parametrize("text", ["os:system", "logging.config:dictConfig", "builtins:eval", "subprocess:run"])
def test_functions_of_python_itself_are_nobodys_own(text):
    with pytest.raises(ConfigError, match="a module of Python itself; give a function of your own"):
        import_reference(text)


@pytest.mark.parametrize(
    "text", ["pip:main", "pip._internal.cli.main:main", "tabulate:_main", "mypy.__main__:console_entry", "pytest:main"]
)
def test_programs_of_installed_packages_are_not_started(text):
    with pytest.raises(ConfigError, match=f"{text}: that is a program, which would begin to work"):
        import_reference(text)


def test_other_functions_of_packages_with_programs_are_references(tmp_path, monkeypatch):
    assert import_reference("tqdm:trange").__name__ == "trange"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "own_program.py").write_text("def main():\n    return 'mine'\n")
    assert import_reference("own_program:main")() == "mine"


@pytest.mark.parametrize("name", ["profile", "numpy", "torch", "prunebench", "datasets"])
def test_a_users_file_may_be_called_as_a_module_of_python_or_an_installed_package_is(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / f"{name}.py").write_text("def f():\n    return 'mine'\n")
    for place in (f"{name}.py", f"./{name}.py", str(tmp_path / f"{name}.py")):
        assert import_reference(f"{place}:f")() == "mine"
    assert len(content(f"{name}.py:f")) == 64
    assert not hasattr(sys.modules.get(name), "f")
    if name == "profile":
        with pytest.raises(ConfigError, match=r"of Python itself; give profile\.py:f for your file"):
            import_reference("profile:f")


def test_a_module_of_the_current_folder_is_a_reference(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here_pkg").mkdir()
    (tmp_path / "here_pkg" / "net.py").write_text("from .parts import width\ndef f():\n    return width\n")
    (tmp_path / "here_pkg" / "parts.py").write_text("width = 5\n")
    assert import_reference("here_pkg.net:f")() == 5
    assert reference(import_reference("here_pkg.net:f")) == f"{tmp_path.resolve() / 'here_pkg' / 'net.py'}:f"
    with pytest.raises(ConfigError, match="ModuleNotFoundError: No module named 'no_such_pkg'"):
        import_reference("no_such_pkg.net:f")


def test_a_file_without_a_function_is_told_how_to_name_one():
    with pytest.raises(UnknownName, match=r"Give the function in that file as well: some/net\.py:FUNCTION\."):
        models.get("some/net.py")


WAYS = """
from functools import cache, partial, wraps
from decorating import decorated

def build(classes, width=4):
    return classes, width

class Net:
    def __init__(self, classes):
        self.classes = classes

class Factory:
    def __call__(self, classes):
        return classes

part = partial(build, width=8)
short = lambda classes: classes
made = Factory()
kept = cache(build)
wrapped = decorated(build)
"""
DECORATING = """
from functools import wraps

def decorated(function):
    @wraps(function)
    def inner(*args, **kwargs):
        return function(*args, **kwargs)
    return inner
"""


@pytest.mark.parametrize("name", ["build", "Net", "part", "short", "made", "kept", "wrapped"])
def test_whatever_a_file_calls_its_builder_is_known_by_that_file(name, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "decorating", raising=False)
    (tmp_path / "decorating.py").write_text(DECORATING)
    (tmp_path / "ways.py").write_text(WAYS)
    text = f"{tmp_path / 'ways.py'}:{name}"
    assert content(text) == hashlib.sha256(WAYS.encode()).hexdigest()
    assert call(import_reference(text), {"classes": 3}) is not None
    (tmp_path / "ways.py").write_text(WAYS + "# other\n")
    assert content(text) == hashlib.sha256(f"{WAYS}# other\n".encode()).hexdigest()


def test_what_a_file_has_is_listed_with_classes_and_partials_and_without_what_it_imports(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "decorating", raising=False)
    (tmp_path / "decorating.py").write_text(DECORATING)
    (tmp_path / "ways.py").write_text(WAYS)
    with pytest.raises(ConfigError, match="it has: build, Net, Factory, part, short, made, kept, wrapped"):
        import_reference(f"{tmp_path / 'ways.py'}:nothing")


def test_a_partial_is_known_by_its_function_and_what_that_is_given():
    assert reference(partial(build, 3, width=8)) == "<build(3, width=8)>"
    digests = [content(of) for of in (build, *(partial(build, width=width) for width in (4, 8)), partial(build, 8))]
    assert len(set(digests)) == 4
    assert content(partial(build, width=8)) == digests[2]
    assert content(partial(build, more=Net)) != content(partial(build, more=Registry))
    with pytest.raises(ConfigError, match="is neither a function nor a model nor a Dataset"):
        content(partial(build, more=object()))


def test_what_is_not_written_in_python_is_refused():
    with pytest.raises(ConfigError, match="numpy:array is not written in Python; give a function of your own"):
        content("numpy:array")
