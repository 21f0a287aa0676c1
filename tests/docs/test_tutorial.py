"""The tutorial runs as it stands, and is kept without outputs."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.ipynb"

SECONDS = 600
"""That a cell may take, at most: on a core that has nothing else to do all take half a minute."""


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(TUTORIAL, as_version=4)


def test_it_is_kept_without_outputs(notebook):
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


@pytest.mark.filterwarnings("ignore")  # of Jupyter
def test_it_runs_and_shows_tables_and_pictures(notebook, tmp_path):
    from nbclient import NotebookClient

    kernel = {"timeout": SECONDS, "kernel_name": "python3", "resources": {"metadata": {"path": str(tmp_path)}}}
    NotebookClient(notebook, **kernel).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = [output.get("data", {}) for output in outputs]
    text = "".join(output.get("text", "") for output in outputs)
    assert text.count("StepRecord(step 2 of resnet18-structured-") == 3
    html = [data["text/html"] for data in shown if "text/html" in data]
    assert len(html) == 3  # a run, all runs, a data frame
    assert all("data:image/svg+xml" in each for each in html[:2])
    assert "Which is better" in html[1]
    assert any("image/png" in data for data in shown)
    assert not any(output.output_type == "error" for output in outputs)
