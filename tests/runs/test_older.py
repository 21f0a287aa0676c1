"""What earlier versions recorded is shown as it was, and is neither continued nor changed.

`format-2` holds what version 0.1.0 wrote, without weights: a ResNet with `stem = "small"`, pruned twice.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
from pathlib import Path

import msgspec
import pytest
from safetensors.torch import save_file

from prunebench.errors import RunError
from prunebench.models import checkpoint
from prunebench.records import FORMAT, Scores, TimingRecord
from prunebench.runs import older
from prunebench.runs.commands import command_of, started_from
from prunebench.runs.files import digest
from prunebench.runs.index import all_runs, find
from prunebench.runs.manifest import decode, read_manifest
from prunebench.runs.overview import overview
from prunebench.runs.run import Run

THERE = Path(__file__).parent / "format-2"
DENSE, PRUNED = "resnet18-dense-fe7d192c30", "resnet18-structured-c64015f069"
SCORES = ("test_before", "train_before", "test_after", "train_after")


@pytest.fixture
def root(tmp_path):
    """A folder with both runs."""
    shutil.copytree(THERE, tmp_path / "runs")
    return tmp_path / "runs"


@pytest.fixture
def run(root):
    """The pruning run."""
    return find(root, PRUNED)


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def raw(path):
    return json.loads(path.read_text(encoding="utf-8"))


def sealed(document):
    """A `run.json` with its own checksum, as the version wrote it that had this format."""
    run = document["run"]
    run = {**run, **{name: dict(sorted(run[name].items())) for name in ("config", "contents")}}
    bare = msgspec.json.encode(
        {**document, "run": run, "files": dict(sorted(document["files"].items())), "checksum": ""}
    )
    whole = {**document, "checksum": hashlib.sha256(bare).hexdigest()}
    return msgspec.json.format(msgspec.json.encode(whole), indent=1) + b"\n"


def test_the_files_are_as_they_were_written_and_tell_of_no_place():
    for run in (DENSE, PRUNED):
        path = THERE / run / "run.json"
        assert sealed(raw(path)) == path.read_bytes()
    for path in THERE.rglob("*.json"):
        assert not re.search(r'"(/|~|[A-Z]:)', path.read_text(encoding="utf-8")), path


def test_runs_of_an_older_format_are_listed(root, caplog):
    assert {run.key for run in all_runs(root)} == {DENSE, PRUNED}
    rows = {row.name: row for row in overview(all_runs(root))}
    assert (rows[PRUNED].kind, rows[PRUNED].state, rows[PRUNED].progress) == ("prune", "finished", "step 2 of 2")
    assert (rows[DENSE].kind, rows[DENSE].state, rows[DENSE].progress) == ("train", "finished", "trained")
    assert caplog.records == []


def test_what_a_run_was_is_read_and_its_first_layers_are_an_argument(run):
    old, found = raw(run.folder / "run.json"), read_manifest(run.folder / "run.json")
    assert (found.format, found.results, found.kind, found.key, found.source) == (2, 1, "prune", PRUNED, DENSE)
    assert (found.files, found.created, found.contents) == (old["files"], old["run"]["created"], {})
    config = dict(found.config)
    assert config.pop("model_arg") == ["stem=small"]
    assert config == {name: value for name, value in old["run"]["config"].items() if name != "stem"}
    assert "--model-arg stem=small" in command_of(run)
    assert started_from(run) is None  # it was trained from fresh weights


def test_the_usual_first_layers_are_no_argument(run):
    path = run.folder / "run.json"
    document = raw(path)
    document["run"]["config"]["stem"] = "standard"
    path.write_bytes(sealed(document))
    assert read_manifest(path).config["model_arg"] == []


@pytest.mark.parametrize("key", [DENSE, PRUNED])
def test_its_records_hold_what_was_counted_which_is_accuracy_alone(key, root):
    run = find(root, key)
    assert run.steps() == ([0] if key == DENSE else [0, 1, 2])
    for step, record in zip(run.steps(), run.records(), strict=True):
        old = raw(run.step_folder(step) / "record.json")
        for name in SCORES:
            scores = getattr(record, name)
            assert scores == Scores.of(top1=(old[name]["correct"], old[name]["total"]))
            assert (scores.main.name, scores.correct, scores.total) == ("top1", *old[name].values())
        now = msgspec.json.decode(msgspec.json.encode(record))
        same = old.keys() - {*SCORES, "format"}
        assert {name: now[name] for name in same} == {name: old[name] for name in same}
        assert now["format"] == FORMAT


def test_what_it_was_computed_with_is_read(run):
    old = raw(run.folder / "environment.json")
    assert msgspec.to_builtins(run.environment()) == old | {"format": FORMAT, "devices": 1, "precision": ""}


def test_timings_are_read_with_the_accuracy_and_the_breakdown_that_they_had(tmp_path):
    latency = {"format": 2, "run": PRUNED, "model": "resnet18", "method": "structured", "step": 1, "nominal_left": 0.8}
    latency |= {"variant": "pruned", "batch_size": 1, "device": "cpu", "dtype": "fp32", "threads": 2}
    latency |= {"samples_ms": [1.5, 1.25], "top1": {"correct": 9, "total": 10}}
    timing = {"format": 2, "step": 1, "latencies": [latency, {**latency, "top1": None}]}
    timing |= {"evidence": {"batch1_ms": [2.0], "unpruned_share": {"1": 0.5}}}
    (tmp_path / "record.json").write_text(json.dumps(timing))
    found = decode(tmp_path / "record.json", TimingRecord)
    assert [record.scores for record in found.latencies] == [Scores.of(top1=(9, 10)), None]
    assert [record.samples_ms for record in found.latencies] == [(1.5, 1.25)] * 2
    assert found.breakdown is not None
    assert (found.breakdown.batch1_ms, found.breakdown.unpruned_share) == ((2.0,), {1: 0.5})
    assert {found.format, *(record.format for record in found.latencies)} == {FORMAT}


def test_what_is_of_this_format_stays_as_it_is(make_record):
    record = msgspec.json.decode(msgspec.json.encode(make_record()))
    assert older.upgraded(record) == record


# Damage


def test_a_flipped_bit_anywhere_is_noticed(run):
    path = run.folder / "run.json"
    whole, draw = path.read_bytes(), random.Random(0)
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1 << draw.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(RunError, match=r"run\.json (is damaged|has format)"):
            read_manifest(path)


def test_a_file_that_ends_early_is_noticed_wherever_it_ends(run):
    path = run.folder / "run.json"
    whole = path.read_bytes()
    for end in range(len(whole) - 1):  # the last byte ends the line
        path.write_bytes(whole[:end])
        with pytest.raises(RunError, match=r"run\.json is damaged: .*--fresh"):
            read_manifest(path)


@pytest.mark.parametrize("name", ["steps/001/record.json", "environment.json"])
def test_a_damaged_record_is_told(name, run):
    path = run.folder / name
    path.write_bytes(path.read_bytes().replace(b"2", b"3", 1))
    read = run.environment if name == "environment.json" else lambda: run.record(1)
    with pytest.raises(RunError, match=f"{re.escape(str(path))} is damaged: its SHA-256 is not the one in run.json"):
        read()


@pytest.mark.parametrize(
    "change",
    [
        {"files": {"../mine.txt": "0" * 64}},
        {"files": {"steps/001/../../mine.txt": "0" * 64}},
        *({"run": {name: "../x"}} for name in ("key", "source", "kind")),
    ],
)
def test_a_sealed_one_names_nothing_outside_its_folder(change, run):
    path = run.folder / "run.json"
    document = raw(path)
    path.write_bytes(sealed({**document, **change, "run": document["run"] | change.get("run", {})}))
    with pytest.raises(RunError, match=r"run\.json is damaged"):
        read_manifest(path)


# It is not continued


@pytest.fixture
def with_weights(run):
    """The pruning run with a checkpoint of its last step whose files are intact."""
    place, path = run.step_folder(2), run.folder / "run.json"
    save_file({}, place / "model.safetensors")
    document = raw(path)
    document["files"]["steps/002/model.safetensors"] = digest(place / "model.safetensors")
    path.write_bytes(sealed(document))
    return run


def test_its_checkpoint_is_refused_as_such(with_weights):
    folder = with_weights.checkpoint(2)
    with pytest.raises(
        RunError,
        match=rf"^{re.escape(str(folder))} has format 2, of an older version of prunebench; this one reads format "
        rf"{FORMAT}: what it recorded is shown, but it is not continued; compute it anew\.$",
    ):
        checkpoint.load(folder)


def work(run, record):
    with run.working(run.environment()):
        run.commit(record, lambda folder: None)


CHANGES = {
    "drop_checkpoints": lambda run, record: run.drop_checkpoints([2]),
    "redo": lambda run, record: run.redo(0),
    "commit": work,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_would_change_it_is_refused_and_it_stays_as_it_is(change, with_weights, make_record):
    before = content(with_weights.folder)
    with pytest.raises(RunError, match=r"has format 2, of an older version of prunebench"):
        change(with_weights, make_record(3))
    assert content(with_weights.folder) == before


def test_it_can_be_set_aside_and_removed(run):
    place = run.set_aside()
    assert Run(run.root, run.manifest, place).records()[2].step == 2
    other = find(run.root, DENSE)
    other.delete()
    assert not other.folder.exists()
