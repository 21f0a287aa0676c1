"""What was found is kept by all that decides it, and begun anew where it cannot be read."""

from __future__ import annotations

import pytest

from prunebench.experiment.cells import Cells


@pytest.fixture
def cell(make_cell):
    return make_cell()


def test_what_was_added_is_found_again_for_the_same_settings_alone(cell, tmp_path):
    Cells(str(tmp_path), {"seed": 0}).add(cell)
    assert Cells(str(tmp_path), {"seed": 0}).get("conv1", 0.5) == cell
    assert Cells(str(tmp_path), {"seed": 0}).get("conv1", 0.7) is None
    assert Cells(str(tmp_path), {"seed": 1}).get("conv1", 0.5) is None


@pytest.mark.parametrize("content", [b"", b"{}", b'[{"layer": 3}]', b"[[[[", bytes(range(256))])
def test_a_damaged_file_is_begun_anew(content, cell, tmp_path):
    Cells(str(tmp_path), {}).add(cell)
    (path,) = (tmp_path / ".sensitivity").iterdir()
    path.write_bytes(content)
    cells = Cells(str(tmp_path), {})
    assert cells.get("conv1", 0.5) is None
    cells.add(cell)
    assert Cells(str(tmp_path), {}).get("conv1", 0.5) == cell


def test_where_nothing_can_be_written_that_is_said_once(cell, tmp_path, caplog):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".sensitivity").symlink_to(tmp_path / "elsewhere")
    cells = Cells(str(tmp_path), {})
    with caplog.at_level("INFO", "prunebench"):
        cells.add(cell)
        cells.add(cell)
    assert [record.message.startswith("what is found cannot be kept") for record in caplog.records] == [True]
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert cells.get("conv1", 0.5) == cell
