"""What a user's file imports decides a run too, wherever it stands and whether or not it was executed."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from prunebench.errors import ConfigError
from prunebench.runs.user_files import digest_with_imports, digests, installed

FILES = {
    "net_with_parts.py": "import outer_helper\nfrom parts_of_net import layers\nimport json, torch, prunebench\n",
    "outer_helper.py": "def f():\n    import inner_helper\n    from parts_of_net.deep import one\n",
    "inner_helper.py": "import net_with_parts\n",  # a circle
    "parts_of_net/__init__.py": "",
    "parts_of_net/layers.py": "from . import widths\nfrom .deep.one import x\n",
    "parts_of_net/widths.py": "import importlib\nimportlib.import_module('named_helper')\n",
    "parts_of_net/deep/one.py": "x = 1\n",  # a namespace package
    "named_helper.py": "",
    "not_imported.py": "",
}


@pytest.fixture
def folder(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_all_that_is_imported_is_found_inside_functions_and_packages_too_and_nothing_installed(folder):
    names = set(digests(folder / "net_with_parts.py"))
    assert names == {
        *("", "outer_helper", "inner_helper", "named_helper"),
        *("parts_of_net", "parts_of_net.layers", "parts_of_net.widths", "parts_of_net.deep.one"),
    }


@pytest.mark.parametrize("name", [name for name in FILES if name != "not_imported.py"])
def test_every_one_of_them_decides_the_digest(name, folder):
    before = digests(folder / "net_with_parts.py")
    (folder / name).write_text((folder / name).read_text() + "# other\n")
    if name == "net_with_parts.py":
        assert digests(folder / "net_with_parts.py")[""] != before[""]
    else:
        with pytest.raises(ConfigError, match="has changed since this process imported it: start Python anew"):
            digests(folder / "net_with_parts.py")


def test_the_same_files_elsewhere_are_the_same_and_what_is_not_imported_does_not_count(folder, tmp_path_factory):
    before = digest_with_imports(folder / "net_with_parts.py")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name, text in FILES.items():
        (elsewhere / name).parent.mkdir(parents=True, exist_ok=True)
        (elsewhere / name).write_text(text)
    (elsewhere / "not_imported.py").write_text("# other\n")
    assert digest_with_imports(elsewhere / "net_with_parts.py") == before


def test_a_module_that_was_imported_by_name_is_followed_inside_its_package(folder, monkeypatch):
    monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()
    assert "parts_of_net.widths" in digests(folder / "parts_of_net" / "layers.py", "parts_of_net.layers")
    assert "parts_of_net" not in sys.modules  # nothing is executed


def test_an_editable_install_is_the_users(folder, monkeypatch):
    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == "editable_parts":
                return importlib.util.spec_from_file_location(name, folder / "not_imported.py")
            return None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder()])
    (folder / "uses.py").write_text("import editable_parts\n")
    assert set(digests(folder / "uses.py")) == {"", "editable_parts"}


def test_what_is_named_by_its_name_alone_is_imported_too(folder):
    (folder / "uses.py").write_text("def f():\n    return __import__('named_helper')\n")
    assert set(digests(folder / "uses.py")) == {"", "named_helper"}


def test_files_that_the_text_names_from_its_folder_count_where_that_is_asked(folder):
    text = 'import inner_helper\nwhere = "widths.json", "none.json", "not_imported.py\\n"\n'
    (folder / "uses.py").write_text(text)
    (folder / "widths.json").write_text("[1]")
    before = digest_with_imports(folder / "uses.py", beside=True)
    assert set(digests(folder / "uses.py", beside=True)) - set(digests(folder / "uses.py")) == {"widths.json"}
    (folder / "widths.json").write_text("[2]")
    assert digest_with_imports(folder / "uses.py", beside=True) != before
    alone = digest_with_imports(folder / "uses.py")
    (folder / "widths.json").unlink()
    assert digest_with_imports(folder / "uses.py", beside=True) == alone == digest_with_imports(folder / "uses.py")


def test_installed_packages_are_those_that_a_file_or_the_users_that_it_imports_import_directly(folder):
    (folder / "uses.py").write_text("import json, prunebench, nowhere\nimport named_helper\nfrom torch import nn\n")
    (folder / "named_helper.py").write_text("def f():\n    from sklearn.svm import SVC\n")
    assert installed(folder / "uses.py") == {"torch", "sklearn"}
    assert installed(folder / "not_imported.py") == set()


def test_of_what_is_installed_itself_the_package_counts():
    from torchvision.models import resnet

    assert installed(Path(resnet.__file__), "torchvision.models.resnet") == {"torchvision"}


def test_a_file_with_an_error_is_left_to_whoever_imports_it(folder):
    (folder / "broken.py").write_text("def f(:\n")
    assert set(digests(folder / "broken.py")) == {""}


def test_a_file_of_a_package_that_is_named_by_its_path_is_followed_inside_it(folder):
    names = set(digests(folder / "parts_of_net" / "layers.py"))
    assert names == {"", "parts_of_net", "parts_of_net.widths", "parts_of_net.deep.one", "named_helper"}


def test_a_module_that_has_changed_since_it_was_imported_by_its_name_is_refused(folder):
    digests(folder / "inner_helper.py", "inner_helper")
    (folder / "inner_helper.py").write_text("# other\n")
    with pytest.raises(ConfigError, match=r"inner_helper\.py has changed since this process imported it"):
        digests(folder / "inner_helper.py", "inner_helper")


def test_a_neighbour_of_the_name_of_another_users_that_was_imported_is_refused(folder, tmp_path_factory, monkeypatch):
    monkeypatch.syspath_prepend(folder)
    other = tmp_path_factory.mktemp("other")
    (other / "net.py").write_text("import outer_helper\n")
    assert set(digests(other / "net.py")) > {"outer_helper"}
    (other / "outer_helper.py").write_text("x = 1\n")
    with pytest.raises(ConfigError, match=r"imports outer_helper, and gets .* instead of .*: rename it, or start"):
        digests(other / "net.py")


def test_a_neighbour_that_an_installed_package_hides_is_warned_of(tmp_path, caplog):
    (tmp_path / "net.py").write_text("import msgspec\n")
    assert set(digests(tmp_path / "net.py")) == {""}
    assert caplog.messages == []
    (tmp_path / "msgspec.py").write_text("x = 1\n")
    assert set(digests(tmp_path / "net.py")) == {""}
    assert len(caplog.messages) == 1
    assert "imports msgspec, and gets " in caplog.messages[0]
    assert f"instead of {tmp_path / 'msgspec.py'}: rename it" in caplog.messages[0]
