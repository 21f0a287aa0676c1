import hashlib
import inspect
import os
import py_compile
import re
import sys
import traceback
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prunebench.data.dataset import datasets
from prunebench.errors import ConfigError, UnknownName
from prunebench.models.architecture import models
from prunebench.pruning.registry import criteria, methods
from prunebench.registry import Registry, call, content, digest, import_reference, reference, without_folder

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
        with pytest.raises(UnknownName, match=r"There are: none, structured, unstructured\.$"):
            methods.get(own)


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


def test_a_file_in_a_folder_whose_name_is_not_utf8_is_refused_since_runs_keep_its_name(tmp_path):
    file = tmp_path / os.fsdecode(b"\xe9") / "net.py"
    try:
        file.parent.mkdir()
        file.write_text("def f():\n    return 1\n")
    except OSError:
        pytest.skip("this disk takes UTF-8 alone")
    with pytest.raises(ConfigError, match=r"net\.py: runs keep where your file is, so that must be UTF-8\. Rename"):
        import_reference(f"{file}:f")


def test_a_value_that_is_no_function_is_refused(user_file):
    with pytest.raises(ConfigError, match="no function 'constant'; it has: score"):
        import_reference(f"{user_file}:constant")


@pytest.mark.parametrize("place", ["above", "inside"])
def test_a_file_may_import_its_neighbours_at_once_or_in_its_functions(place, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = list(sys.path)
    (tmp_path / f"neighbour_{place}.py").write_text("value = 7\n")
    text = "IMPORT\ndef f():\n    return value\n" if place == "above" else "def f():\n    IMPORT\n    return value\n"
    (tmp_path / "outer.py").write_text(text.replace("IMPORT", f"from neighbour_{place} import value"))
    for _ in range(2):
        assert import_reference(f"{tmp_path / 'outer.py'}:f")() == 7
    assert sys.path == [*before, str(tmp_path.resolve())]  # last: a neighbour hides no installed package


def test_a_changed_file_is_read_again_and_has_another_digest(user_file):
    text = f"{user_file}:score"
    first, digest = import_reference(text), content(text)
    assert import_reference(text) is first
    assert content(first) == digest
    user_file.write_text("def score(weight):\n    return weight\n")
    assert import_reference(text) is not first
    assert content(text) != digest


# A user's file is read once while it does not change, and what is executed is what was hashed

BEFORE = "def score(weight):\n    return 1\n"
AFTER = "def score(weight):\n    return 2\n"


def settled(path, text, seconds=1000):
    """Write a file as it was some time ago."""
    path.write_text(text)
    os.utime(path, (seconds, seconds))


def test_a_file_that_does_not_change_is_read_once(user_file):
    text = f"{user_file}:score"
    settled(user_file, BEFORE)
    function, digest = import_reference(text), content(text)
    assert digest == hashlib.sha256(BEFORE.encode()).hexdigest()
    settled(user_file, AFTER)  # by all that tells of a change, it did not
    assert import_reference(text) is function
    assert content(text) == content(function) == digest
    settled(user_file, AFTER, seconds=2000)
    assert import_reference(text)(None) == 2
    assert content(text) == hashlib.sha256(AFTER.encode()).hexdigest()


def test_a_digest_alone_is_not_taken_for_an_import(user_file):
    settled(user_file, BEFORE)
    digest(user_file)
    assert import_reference(f"{user_file}:score")(None) == 1


def test_an_edit_to_the_same_size_is_seen_however_soon_it_comes(user_file):
    for number in range(30):
        user_file.write_text(text := f"def score(weight):\n    return {number % 10}\n")
        assert import_reference(f"{user_file}:score")(None) == number % 10
        assert content(f"{user_file}:score") == hashlib.sha256(text.encode()).hexdigest()


def test_a_file_that_is_replaced_by_one_of_the_same_time_and_size_is_seen(user_file, tmp_path):
    settled(user_file, BEFORE)
    assert import_reference(f"{user_file}:score")(None) == 1
    settled(tmp_path / "other.py", AFTER)
    (tmp_path / "other.py").replace(user_file)
    assert import_reference(f"{user_file}:score")(None) == 2


def test_a_content_that_comes_back_is_what_it_was(user_file):
    text = f"{user_file}:score"
    for seconds, source, value in ((1000, BEFORE, 1), (2000, AFTER, 2), (3000, BEFORE, 1)):
        settled(user_file, source, seconds)
        assert import_reference(text)(None) == value
        assert content(text) == hashlib.sha256(source.encode()).hexdigest()


def test_compiled_code_that_lies_beside_a_file_is_neither_executed_nor_written(user_file):
    settled(user_file, AFTER)
    compiled = py_compile.compile(str(user_file), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    stale = Path(compiled).read_bytes()
    settled(user_file, BEFORE)
    assert import_reference(f"{user_file}:score")(None) == 1
    assert Path(compiled).read_bytes() == stale
    Path(compiled).unlink()
    settled(user_file, AFTER, seconds=2000)
    assert import_reference(f"{user_file}:score")(None) == 2
    assert not Path(compiled).exists()


def test_a_traceback_shows_the_lines_of_the_file(user_file):
    user_file.write_text("def score(weight):\n    return weight / 0  # here\n")
    function = import_reference(f"{user_file}:score")
    with pytest.raises(ZeroDivisionError) as caught:
        function(1)
    assert "return weight / 0  # here" in "".join(traceback.format_exception(caught.value))
    assert inspect.getsource(function) == user_file.read_text()


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
    assert call(lambda **all: all, offered) == offered
    assert call(lambda z=5: z, offered) == 5


def test_an_argument_that_is_not_offered_lists_those_that_are():
    with pytest.raises(ConfigError, match=r"asks for an argument 'gradient'; it can have: weight, name\."):
        call(lambda gradient: gradient, {"weight": 1, "name": 2})


def test_a_users_function_that_fails_is_told_in_a_line(tmp_path):
    (tmp_path / "mine.py").write_text("def score(weight):\n    return weight / 0\n")
    with pytest.raises(ConfigError, match=r"mine\.py:score failed: ZeroDivisionError: division by zero\. --debug"):
        call(import_reference(f"{tmp_path / 'mine.py'}:score"), {"weight": 1})


def test_a_function_of_the_package_that_fails_is_a_bug_and_stays_one():
    with pytest.raises(ZeroDivisionError):
        call(lambda a: a / 0, {"a": 1})


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
    with pytest.raises(ConfigError, match="a module of Python itself"):
        import_reference(text)
