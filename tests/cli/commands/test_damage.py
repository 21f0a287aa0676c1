"""`damage` prints what was lost, or records; what cannot be said is told in a line."""

from __future__ import annotations

import shutil

import msgspec
import pytest

from prunebench.results.damage import Damage


@pytest.fixture(scope="module")
def made(prunebench, net_text, tmp_path_factory):
    """A folder of runs with one of two steps, whose checkpoints are kept, and the dense run's and the run's key."""
    place = tmp_path_factory.mktemp("made")
    (place / "net.py").write_text(net_text)
    options = ("--model", str(place / "net.py:build"), "--image-size", "8", "--epochs", "1", "--limit-train", "100")
    places = ("--runs-dir", str(place / "runs"), "--results-dir", str(place / "results"), "--limit-test", "50")
    done = prunebench(
        "prune", *options, *places, "--iterations", "2", "--finetune-epochs", "1", "--keep", "all", "--quiet"
    )
    assert done.status == 0, done.err
    (dense,) = (place / "runs").glob("*-dense-*")
    (run,) = (place / "runs").glob("*-structured-*")
    return place / "runs", dense.name, run.name


@pytest.fixture
def copied(made, tmp_path):
    """The same in a folder that may be changed."""
    shutil.copytree(made[0], tmp_path / "runs")
    return tmp_path / "runs", *made[1:]


def test_a_table_then_records_and_the_report_shows_it(prunebench, made, tmp_path):
    runs, _, key = made
    shown = prunebench("damage", key, "--runs-dir", str(runs))
    assert shown.status == 0, shown.err
    assert shown.out.startswith(f"{key}, step 2\nAccuracy ")
    for words in (
        "By class",
        "By brightness, quarters",
        "Expected calibration error (15 bins)",
        "corrected for 10 (Holm)",
    ):
        assert words in shown.out
    found = prunebench("damage", str(runs / key), "--step", "1", "--json")
    damage = msgspec.json.decode(found.out, type=Damage)
    assert (damage.run, damage.step, damage.whole.samples, damage.trials) == (key, 1, 50, 2)
    assert prunebench("report", str(runs), "-o", str(tmp_path / "r.html")).status == 0
    page = (tmp_path / "r.html").read_text()
    assert f"{key}, step 2" in page
    assert f"{key}, step 1" in page


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (("nowhere",), "no run 'nowhere'"),
        (("{dense}",), "is a train run; name a prune run"),
        (("{run}", "--step", "5"), "has no step 5; steps that pruned: 1, 2"),
        (("{run}", "--step", "0"), "Step 0 is the dense model itself"),
        (("{run}", "--data-dir", "/nowhere", "--dataset", "reviews"), "was made with --dataset digits"),
    ],
)
def test_what_cannot_be_said_is_refused_in_a_line(asked, words, prunebench, made):
    runs, dense, run = made
    refused = prunebench("damage", *(word.format(dense=dense, run=run) for word in asked), "--runs-dir", str(runs))
    assert (refused.status, refused.out) == (2, "")
    assert words in refused.err
    assert len(refused.err.strip().splitlines()) <= 2


def test_a_dense_model_that_is_gone_is_told(prunebench, copied):
    runs, dense, run = copied
    shutil.rmtree(runs / dense)
    shutil.rmtree(runs / ".damage", ignore_errors=True)
    from prunebench.runs.index import find

    find(runs, run).drop_checkpoints([0])
    refused = prunebench("damage", run, "--runs-dir", str(runs), "--quiet")
    assert (refused.status, refused.out) == (2, "")
    assert f"no run {dense} in" in refused.err


def test_of_a_run_without_checkpoints_is_said_what_is_known(prunebench, copied):
    runs, _, run = copied
    shutil.rmtree(runs / ".damage", ignore_errors=True)
    from prunebench.runs.index import find

    find(runs, run).drop_checkpoints([2])
    shown = prunebench("damage", run, "--runs-dir", str(runs))
    assert shown.status == 0
    assert "has not kept the checkpoint of step 2 (--keep), and its answers went with it" in shown.err
    assert "of them went from right to wrong" in shown.out


def test_a_run_that_has_stopped_is_told_unless_a_step_is_named(prunebench, copied):
    from prunebench.runs.index import find

    runs, _, key = copied
    run = find(runs, key)
    run._put_aside([2])
    refused = prunebench("damage", key, "--runs-dir", str(runs))
    assert (refused.status, refused.out) == (2, "")
    assert "has stopped at step 1 of 2" in refused.err
    assert prunebench("damage", key, "--step", "1", "--runs-dir", str(runs)).status == 0
