"""`verify` computes a run anew and exits with 1 where anything differs."""

from __future__ import annotations

import shutil

import msgspec
import pytest

from prunebench.records import Score, Scores
from prunebench.runs.index import find
from prunebench.runs.manifest import encode


@pytest.fixture
def copied(digits_run, tmp_path):
    """A copy of the pruned run."""
    shutil.copytree(digits_run.folder / "runs", tmp_path / "runs")
    return find(tmp_path / "runs", next((tmp_path / "runs").glob("resnet18-structured-*")).name)


def record_anew(run, step, **changes):
    """Change a record together with its checksum, as nobody does by accident."""
    with run.working(run.environment()):
        record = msgspec.structs.replace(run.record(step), **changes)
        path = run.step_folder(step) / "record.json"
        path.write_bytes(encode(record))
        from prunebench.runs.files import digest

        run._list({**run.files(), f"steps/{step:03d}/record.json": digest(path)})


@pytest.mark.parametrize("kind", ["structured", "dense"])
def test_a_line_per_step_says_that_it_is_as_recorded(kind, digits_run, prunebench):
    (run,) = (digits_run.folder / "runs").glob(f"resnet18-{kind}-*")
    finished = prunebench("verify", run.name, *digits_run.places[:2])
    assert finished.status == 0, finished.err
    lines = finished.out.splitlines()
    steps = 3 if kind == "structured" else 1
    assert [line.split()[:3] for line in lines[:-1]] == [["step", str(step), "ok:"] for step in range(steps)]
    assert all("checksums, parameters, parameters left, MACs, accuracies, answers" in line for line in lines[:-1])
    assert "every comparison is exact" in finished.err
    assert "Traceback" not in finished.err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"params": 12}, "parameters: recorded 12, found "),
        ({"nonzero_params": 12}, "parameters left: recorded 12, found "),
        ({"macs": 12}, "MACs: recorded 12, found "),
        ({"test_after": Scores.of(top1=(101, 100))}, "test accuracy: recorded 101 of 100, found "),
        ({"train_after": Scores.of(top1=(201, 200))}, "train accuracy: recorded 201 of 200, found "),
    ],
)
def test_a_record_that_was_changed_is_found(changes, words, copied, prunebench):
    record_anew(copied, 1, **changes)
    finished = prunebench("verify", str(copied.folder))
    assert finished.status == 1
    told = finished.out.splitlines()
    assert told[told.index("step 1   DIFFERS:") + 1].strip().startswith(words)
    rows = [line.split()[:3] for line in finished.out.splitlines() if line.startswith("step")]
    assert [row[2] for row in rows] == ["ok:", "DIFFERS:", "ok:"]
    assert words in finished.out


def test_a_damaged_file_is_found_and_the_other_steps_are_compared(copied, prunebench):
    path = copied.step_folder(1) / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    finished = prunebench("verify", str(copied.folder))
    assert finished.status == 1
    assert f"{path.resolve()} is damaged" in finished.out
    assert finished.out.count(" ok: ") == 2
    again = prunebench("evaluate", "--run", str(copied.folder), "--steps", "1")
    assert again.status == 2
    assert "--redo 1" in again.err


def test_of_a_run_from_another_machine_it_is_said_what_is_exact(copied, prunebench):
    was = copied.environment()
    other = msgspec.structs.replace(was, hardware="another CPU", versions={**was.versions, "torch": "1.0"})
    path = copied.folder / "environment.json"
    path.write_bytes(encode(other))
    from prunebench.runs.files import digest

    copied._list({**copied.files(), "environment.json": digest(path)})
    finished = prunebench("verify", str(copied.folder))
    assert finished.status == 0, finished.err
    assert "torch 1.0 → " in finished.err
    assert "hardware another CPU → " in finished.err
    assert "others where two logits are nearer to each other than 0.02 % of the sample's largest" in finished.err
    record = copied.record(2)
    counted = record.test_after.counted
    low = Scores({**counted, "top1": Score(max(counted["top1"].sum - 1, 0), counted["top1"].count)})
    path = copied.step_folder(2) / "record.json"
    path.write_bytes(encode(msgspec.structs.replace(record, test_after=low)))
    copied._list({**copied.files(), "steps/002/record.json": digest(path)})
    finished = prunebench("verify", str(copied.folder))
    assert (finished.status, f"recorded {low.correct} of" in finished.out) == (1, True)


def test_steps_without_a_checkpoint_are_named(copied, prunebench):
    copied.drop_checkpoints([0, 1])
    finished = prunebench("verify", str(copied.folder))
    assert finished.status == 0
    assert finished.out.count("its checkpoint was not kept (--keep)") == 2
    last = "1 of 3 steps could be computed anew; of the others the files are intact."
    assert finished.out.splitlines()[-1] == last
    copied.drop_checkpoints([2])
    finished = prunebench("verify", str(copied.folder))
    assert finished.out.splitlines()[-1] == last.replace("1 of", "None of")
    finished = prunebench("evaluate", "--run", str(copied.folder), "--steps", "1")
    assert (finished.status, finished.out) == (2, "")
    assert "has not kept the checkpoint of step 1 (--keep)" in finished.err
    assert "it has those of: none. " in finished.err
    assert "--fresh" not in finished.err


def test_timings_have_checksums_alone(digits_run, prunebench, tmp_path):
    options = (
        "--batch-sizes",
        "1",
        "--time-budget",
        "0.1",
        "--runs-dir",
        str(tmp_path),
        "--iterations",
        "1",
        "--finetune-epochs",
        "1",
    )
    assert prunebench("efficiency", "--model", "resnet18", *options, "--results-dir", str(tmp_path / "r")).status == 0
    (run,) = tmp_path.glob("resnet18-efficiency-*")
    finished = prunebench("verify", str(run))
    assert (finished.status, finished.out.splitlines()[0]) == (0, "step 1   ok: checksums")
