"""A user's file: read once, executed as it was hashed, a part of its package; and where it fails, told in a line."""

from __future__ import annotations

import hashlib
import inspect
import os
import py_compile
import subprocess
import sys
import time
import traceback
from pathlib import Path

import pytest

from prunebench.errors import ConfigError
from prunebench.registry import content, import_reference
from prunebench.user_code import LONGEST, SETTLED_NS, digest, failure, hidden, is_users, package_of


@pytest.fixture
def user_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def score(weight):\n    return weight.abs()\n\n\nconstant = 3\n")
    return file


def test_a_file_in_a_folder_whose_name_is_not_utf8_is_refused_since_runs_keep_its_name(tmp_path):
    file = tmp_path / os.fsdecode(b"\xe9") / "net.py"
    try:
        file.parent.mkdir()
        file.write_text("def f():\n    return 1\n")
    except OSError:
        pytest.skip("this disk takes UTF-8 alone")
    with pytest.raises(ConfigError, match=r"net\.py: runs keep where your file is, so that must be UTF-8\. Rename"):
        import_reference(f"{file}:f")


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


# Packages

PACKAGE = {
    "of_mine/__init__.py": "",
    "of_mine/net.py": "from . import widths\nfrom .deep.parts import f\n\n\ndef build():\n    return f(widths.width)\n",
    "of_mine/widths.py": "width = 5\n",
    "of_mine/deep/__init__.py": "",
    "of_mine/deep/parts.py": "from ..widths import width\nimport of_mine.widths\ndef f(x):\n    return x, width\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "of_mine"]:
        monkeypatch.delitem(sys.modules, name)
    for name, text in PACKAGE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    yield tmp_path / "of_mine"
    for name in [name for name in sys.modules if name.partition(".")[0] == "of_mine"]:
        del sys.modules[name]


def test_a_file_of_a_package_imports_relatively_and_in_full(package, monkeypatch):
    assert import_reference(f"{package / 'net.py'}:build")() == (5, 5)
    assert import_reference(f"{package / 'deep' / 'parts.py'}:f")(1) == (1, 5)
    monkeypatch.chdir(package.parent)
    assert import_reference("of_mine/net.py:build")() == (5, 5)
    monkeypatch.chdir(package)
    assert import_reference("net.py:build")() == (5, 5)


def test_a_changed_file_of_a_package_is_executed_anew(package):
    text = f"{package / 'net.py'}:build"
    first = import_reference(text)
    (package / "net.py").write_text("from .widths import width\n\n\ndef build():\n    return -width\n")
    assert import_reference(text)() == -5
    assert first() == (5, 5)
    assert content(text) == digest(package / "net.py")


def test_the_package_of_a_file_is_as_deep_as_there_are_init_files(package):
    assert package_of(package / "net.py") == package_of(package / "__init__.py") == "of_mine"
    assert package_of(package / "deep" / "parts.py") == "of_mine.deep"
    assert package_of(package.parent / "net.py") == ""


# What is hidden


@pytest.mark.parametrize("name", ["profile", "msgspec"])
def test_a_neighbour_that_something_installed_hides_is_told(name, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / f"{name}.py").write_text("mine = 1\n")
    (tmp_path / "net.py").write_text(f"from {name} import mine\n")
    with pytest.raises(
        ConfigError, match=rf"ImportError: .* \(.*net\.py, line 1\)\. .*{name}\.py is hidden by .*: rename"
    ):
        import_reference(f"{tmp_path / 'net.py'}:build")
    mine, taken = hidden(tmp_path / "net.py", f"{name}.part")
    assert mine == tmp_path / f"{name}.py"
    assert taken.is_file()
    assert not is_users(taken.resolve())
    assert is_users(mine)


@pytest.mark.parametrize("folder", ["site-packages", "dist-packages"])
def test_packages_of_another_python_that_are_on_the_path_are_nobodys_own_files(folder, tmp_path):
    assert not is_users(tmp_path / "shared" / "lib" / folder / "numpy" / "core.py")
    assert is_users(tmp_path / "shared" / f"my-{folder}" / "numpy" / "core.py")


def test_nothing_is_hidden_where_python_takes_what_lies_beside(package):
    import_reference(f"{package / 'net.py'}:build")
    assert hidden(package / "net.py", "of_mine.widths") is None
    assert hidden(package / "net.py", "json") is None
    assert hidden(package / "net.py", "") is None
    (package.parent / "msgspec.py").write_text("import msgspec\n")
    assert hidden(package.parent / "msgspec.py", "msgspec") is None  # it imports what is installed, not itself


# Where it fails


def failed(path, text, call=True):
    path.write_text(text)
    with pytest.raises(Exception) as caught:  # noqa: PT011
        import_reference(f"{path}:f")()
    error = caught.value.__cause__ if isinstance(caught.value, ConfigError) else caught.value
    return failure(error)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero (mine.py, line 1)"),
        ("def f():\n    return {}['x']", "KeyError: 'x' (mine.py, line 2)"),
        ("def f():\n    assert False", "AssertionError (mine.py, line 2)"),
        ("def f():\n\n    raise ValueError('one\\n  two')", "ValueError: one two (mine.py, line 3)"),
        ("import json\n\ndef f():\n    json.loads('{')", "line 4)"),
        ("def f(:", "SyntaxError: invalid syntax (mine.py, line 1)"),
        ("raise SystemExit(4)", "SystemExit: 4 (mine.py, line 1)"),
        ("import broken_neighbour", "SyntaxError: invalid syntax (broken_neighbour.py, line 2)"),
    ],
)
def test_a_failure_is_told_in_a_line_with_the_place_in_the_users_files(text, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "broken_neighbour.py").write_text("\ndef f(:\n")
    found = failed(tmp_path / "mine.py", text)
    assert found.endswith(told)
    assert "\n" not in found


def test_a_failure_elsewhere_names_the_whole_path_and_long_messages_are_cut(tmp_path):
    found = failed(tmp_path / "mine.py", "def f():\n    raise ValueError(2000 * 'x')")
    assert found == f"ValueError: {LONGEST * 'x'}… ({tmp_path / 'mine.py'}, line 2)"


def test_a_failure_outside_of_the_users_files_tells_where_it_was_all_the_same():
    with pytest.raises(ModuleNotFoundError) as caught:
        __import__("no_such_module")
    assert failure(caught.value).startswith("ModuleNotFoundError: No module named 'no_such_module' (")
    assert failure(ValueError("never raised")) == "ValueError: never raised"


# A user's file is read once while it does not change, and what is executed is what was hashed

BEFORE = "def score(weight):\n    return 1\n"
AFTER = "def score(weight):\n    return 2\n"


def settled(path, text, seconds=1000):
    """Write a file as it was some time ago, and wait until the next change would have another time."""
    path.write_text(text)
    os.utime(path, (seconds, seconds))
    time.sleep(SETTLED_NS / 1e9)


def test_a_file_that_does_not_change_is_read_once(user_file, monkeypatch):
    text = f"{user_file}:score"
    settled(user_file, BEFORE)
    function, digest = import_reference(text), content(text)
    assert digest == hashlib.sha256(BEFORE.encode()).hexdigest()

    def refused(path, *about, **more):
        raise AssertionError(f"{path} is read again")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refused)
        assert import_reference(text) is function
        assert content(text) == content(function) == digest


def test_a_change_whose_time_and_size_are_put_back_is_seen(user_file):
    text = f"{user_file}:score"
    settled(user_file, BEFORE)
    assert import_reference(text)(None) == 1
    settled(user_file, AFTER)
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


# What is looked for


def test_looking_for_pip_leaves_the_process_its_distutils():
    """setuptools takes whoever looks for pip for pip itself; torch.compile fails after that."""
    code = (
        "from prunebench.runs.user_files import digest_of_reference\n"
        "from prunebench.user_code import starts_a_program\n"
        "assert starts_a_program('pip', 'main')\n"
        "digest_of_reference('pip:main')\n"
        "import distutils.core\n"
        "print(distutils.core.__file__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "_distutils" in done.stdout
