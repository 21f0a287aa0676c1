"""A run that is damaged, or was made up, stops no listing: each passes it over at once, with a warning that names it.

Beside sound runs lies one in which something is wrong; every command that lists runs shows the sound ones.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time

import msgspec
import pytest

from prunebench.config import RunConfig
from prunebench.experiment.resolve import resolve
from prunebench.records import LatencyRecord, TimingRecord
from prunebench.runs.files import digest
from prunebench.runs.index import identify
from prunebench.runs.manifest import encode, read_manifest
from prunebench.runs.run import Run

SECONDS = 10.0
"""That a listing may take on a busy machine; a quiet one takes a tenth of it."""


@pytest.fixture(scope="module")
def sound(make_record, commit, tmp_path_factory):
    """Three seeds by two criteria, the first of them timed, and a run that is to be damaged."""
    root = tmp_path_factory.mktemp("sound") / "runs"
    for criterion, seeds in (("l2", (0, 1, 2, 9)), ("l1", (0, 1, 2))):
        for seed in seeds:
            experiment = resolve(RunConfig(model="resnet18", criterion=criterion, seed=seed, runs_dir=str(root)))
            run = experiment.run
            about = {"run": run.key, "seed": seed, "criterion": criterion}
            commit(run, *(make_record(step, **about) for step in range(3)))
            if seed == 9:
                run.folder.rename(root / "odd")
    timed = identify("efficiency", run.manifest.config | TIMING, {"of": run.key}, {}, run.key)
    commit(Run(root, timed), timing())
    timed = identify("efficiency", run.manifest.config | TIMING, {"of": "odd"}, {}, run.key)
    commit(Run(root, timed), timing())
    (root / timed.key).rename(root / "odd-times")
    return root


TIMING = {"backend": "eager", "dtype": "fp32", "batch_sizes": [1], "ci_width": 0.03, "time_budget": 5.0}


def timing(**changes):
    """Two rounds of step 1 at batch size 1."""
    about = {"run": None, "model": "tiny", "method": "structured", "step": 1, "batch_size": 1, "nominal_left": 0.9}
    about |= {"device": "cpu", "dtype": "fp32", "threads": 1}
    samples = {"original": (10.0, 10.5), "masked": (11.0, 11.5), "pruned": (5.0, 6.0)}
    latencies = (LatencyRecord(variant=variant, samples_ms=times, **about) for variant, times in samples.items())
    return TimingRecord(**{"step": 1, "latencies": tuple(latencies)} | changes)


@pytest.fixture
def runs(sound, tmp_path, monkeypatch):
    """A copy of the sound ones, in the working directory."""
    shutil.copytree(sound, tmp_path / "runs", ignore=shutil.ignore_patterns("odd", "odd-times"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


@pytest.fixture
def beside(sound, runs):
    """Puts a run for each of some damages beside the sound ones; gives their names."""

    def put(damages, of="odd"):
        folders = {name: runs / f"odd-{name.replace(' ', '-').translate(PLAIN)}" for name in damages}
        for seed, (name, folder) in enumerate(folders.items(), 100):
            shutil.copytree(sound / of, folder)
            if of == "odd":  # two runs of one seed are not compared
                set_up(seed=seed)(folder)
                for step in range(3):
                    recorded(placing("seed", value=seed), step)(folder)
            damages[name](folder)
        return {folder.name for folder in folders.values()}

    return put


PLAIN = str.maketrans("", "", "',.^")


def sealed(folder, **changes):
    """Write `run.json` anew, as somebody would who makes a run up."""
    manifest = read_manifest(folder / "run.json")
    manifest = msgspec.convert(msgspec.to_builtins(manifest) | changes, type(manifest))
    (folder / "run.json").write_bytes(encode(manifest.sealed()))


def set_up(**changes):
    """Change settings of the odd run; None removes one."""

    def do(folder):
        config = read_manifest(folder / "run.json").config | changes
        sealed(folder, config={name: value for name, value in config.items() if value is not None})

    return do


def recorded(change, step=1):
    """Have `change` alter the JSON of a record, with its checksum."""

    def do(folder):
        path = folder / f"steps/{step:03d}/record.json"
        record = json.loads(path.read_text())
        change(record)
        path.write_text(json.dumps(record))
        files = read_manifest(folder / "run.json").files
        sealed(folder, files=files | {f"steps/{step:03d}/record.json": digest(path)})

    return do


def instead(make, name="run.json"):
    """Put something else in the place of a file."""

    def do(folder):
        (folder / name).unlink()
        make(folder / name)

    return do


def sparse(path):
    with path.open("wb") as file:
        file.truncate(2**42)


def steps_alone(folder):
    (folder / "run.json").unlink()


def without_step_0(folder):
    files = read_manifest(folder / "run.json").files
    sealed(folder, files={name: found for name, found in files.items() if "steps/000" not in name})


def placing(*path, value):
    """What sets a value inside a record."""

    def change(record):
        for part in path[:-1]:
            record = record[part]
        record[path[-1]] = value

    return change


def zero_totals(record):
    for part in ("test_after", "test_before", "train_after", "train_before"):
        record[part]["counted"]["top1"] = [0, 0]


FILES = {
    "no run.json": steps_alone,
    "a pipe for run.json": instead(os.mkfifo),
    "a device for run.json": instead(lambda path: path.symlink_to("/dev/zero")),
    "a sparse run.json": instead(sparse),
    "a folder for run.json": instead(os.mkdir),
    "a link to nowhere for run.json": instead(lambda path: path.symlink_to("nowhere")),
    "an empty run.json": instead(lambda path: path.touch()),
    "a deep run.json": instead(lambda path: path.write_text("[" * 10**6)),
    "a number of 5,000 digits": instead(lambda path: path.write_text('{"format": ' + "9" * 5000 + "}")),
    "bytes in run.json": instead(lambda path: path.write_bytes(b"\xff\xfe\0")),
    "a key of 10,000 letters": instead(lambda path: path.write_text(json.dumps({"format": 3, "key": "k" * 10_000}))),
}
SETTINGS = {
    "no iterations": set_up(iterations=None),
    "iterations that are no number": set_up(iterations="ten"),
    "too many iterations": set_up(iterations=10**18),
}
RECORDS = {
    "a pipe for a record": instead(os.mkfifo, "steps/001/record.json"),
    "a sparse record": instead(sparse, "steps/001/record.json"),
    "a device for a record": instead(lambda path: path.symlink_to("/dev/urandom"), "steps/001/record.json"),
    "a record that is missing": lambda folder: (folder / "steps/001/record.json").unlink(),
    "zero totals": recorded(zero_totals),
    "nothing counted": recorded(placing("test_after", "counted", value={})),
    "a metric that nobody knows": recorded(placing("test_after", value={"counted": {"bleu": [1, 2]}}), 0),
    "no parameters": recorded(placing("nonzero_params", value=0), 0),
    "no MACs": recorded(placing("macs", value=0), 0),
    "counts below zero": recorded(placing("params", value=-1)),
    "more left than there is": recorded(placing("nominal_left", value=7.5)),
    "another step's record": recorded(placing("step", value=2)),
    "a number that is too large": recorded(placing("params", value=10**400)),
    "a layer without weights": recorded(placing("layers", 0, "weights", value=0)),
    "a layer of another name": recorded(placing("layers", 0, "name", value="other")),
    "a layer with a name of 20,000 letters": recorded(placing("layers", 0, "name", value="l" * 20_000)),
    "a text for a number": recorded(placing("seed", value="zero")),
    "a method of 20,000 letters": set_up(method="m" * 20_000),
    "a model that is a list": set_up(model=["resnet18"]),
    "a dataset that is a list": set_up(dataset=["digits"]),
    "a pipe for the environment": instead(os.mkfifo, "environment.json"),
}
TIMINGS = {
    "nothing timed": recorded(placing("latencies", value=[])),
    "no samples": recorded(placing("latencies", 0, "samples_ms", value=[])),
    "times of zero": recorded(placing("latencies", 2, "samples_ms", value=[0.0, 0.0])),
    "times below zero": recorded(placing("latencies", 2, "samples_ms", value=[-1.0, 1.0])),
    "samples of fewer rounds": recorded(placing("latencies", 2, "samples_ms", value=[1.0])),
    "a variant that is missing": recorded(lambda record: record["latencies"].pop(0)),
    "a batch of nothing": recorded(placing("latencies", 1, "batch_size", value=0)),
}
HARMLESS = {
    "a model's name of 300 letters": set_up(model="x" * 300),
    "a loader's path of 300 letters": set_up(dataset="/" + "d" * 300),
    "weights of 300 letters": set_up(weights="w" * 300),
    "a value of 500 letters": set_up(background="b" * 500),
    "a process of number 2^70": lambda folder: noted(folder, 2**70),
    "a process of number 0": lambda folder: noted(folder, 0),
    "a process of number -1": lambda folder: noted(folder, -1),
    "a pipe for the note of a lock": lambda folder: note(folder, os.mkfifo),
    "a pipe for a lock": lambda folder: note(folder, os.mkfifo, "lock"),
    "a pipe for progress": lambda folder: os.mkfifo(folder / "progress-003-0"),
    "a link to nowhere for progress": lambda folder: (folder / "progress-003-0").symlink_to("nowhere"),
    "a sparse checkpoint": lambda folder: sparse(folder / "steps/001/model.safetensors"),
    "a folder in circles": lambda folder: (folder / "steps/round").symlink_to(folder),
}


def note(folder, make, kind="json"):
    (folder.parent / ".locks").mkdir(exist_ok=True)
    make(folder.parent / ".locks" / f"{folder.name}.{kind}")


def noted(folder, pid):
    who = {"pid": pid, "host": os.uname().nodename, "since": "", "command": ""}
    note(folder, lambda path: path.write_text(json.dumps(who)))


LISTINGS = {
    "runs": ("runs",),
    "compare": ("compare", "criterion=l2", "criterion=l1"),
    "compare a study": ("compare", "--study", "runs"),
    "plot": ("plot", "runs", "--figure", "accuracy", "--figure", "layers"),
    "report": ("report", "runs"),
}
SHOWING = [name for name in LISTINGS if name != "runs"]


def listed(prunebench, listing):
    """A listing that takes no time, and shows what is sound; and which runs it warned of."""
    begun = time.monotonic()
    finished = prunebench(*LISTINGS[listing])
    seconds = time.monotonic() - begun
    assert finished.status == 0, finished.err
    assert seconds < SECONDS * (3 if listing == "plot" else 1), seconds  # a first picture looks for fonts
    if listing.startswith("compare"):
        assert "n=3" in finished.out
    elif listing == "runs":
        assert finished.out.count("stopped") >= 6
    else:
        assert "written " in finished.out
    warnings = [line for line in finished.err.splitlines() if line.startswith("Warning: ") and "odd" in line]
    names = [re.search(r"runs/(odd[^/ ]*)", line)[1] for line in warnings if line.endswith("It is passed over.")]
    assert len(names) == len(warnings) == len(set(names)), warnings
    return finished, set(names)


@pytest.mark.parametrize("listing", LISTINGS)
def test_runs_whose_list_cannot_be_read_are_passed_over_by_every_listing(listing, beside, prunebench):
    odd = beside(FILES)
    assert listed(prunebench, listing)[1] == odd


def test_runs_with_settings_that_say_no_end_are_passed_over(beside, prunebench):
    odd = beside(SETTINGS)
    assert listed(prunebench, "runs")[1] == odd
    for listing in ("compare", "report"):
        listed(prunebench, listing)


@pytest.mark.parametrize("listing", SHOWING)
def test_runs_with_a_record_that_is_none_are_passed_over(listing, beside, prunebench):
    odd = beside(RECORDS)
    assert listed(prunebench, listing)[1] == odd


def test_runs_whose_records_are_damaged_are_listed_since_they_may_be_deleted(beside, prunebench):
    odd = beside(RECORDS)
    finished, passed_over = listed(prunebench, "runs")
    assert passed_over == set()
    assert odd <= {line.split()[0] for line in finished.out.splitlines() if line.startswith("odd")}


@pytest.mark.parametrize("listing", ["plot", "report"])
def test_runs_with_timings_that_are_none_are_passed_over(listing, beside, prunebench):
    odd = beside(TIMINGS, "odd-times")
    assert listed(prunebench, listing)[1] == odd


@pytest.mark.parametrize("listing", LISTINGS)
def test_what_does_no_harm_is_listed(listing, beside, prunebench):
    odd = beside(HARMLESS)
    finished, passed_over = listed(prunebench, listing)
    assert passed_over == set()
    if listing == "runs":
        assert "background=bbb" in finished.out
        assert "b" * 100 not in finished.out
        assert odd <= {line.split()[0] for line in finished.out.splitlines() if line.startswith("odd")}
        assert "running" not in finished.out


def test_other_commands_that_look_for_runs_find_the_sound_ones(beside, runs, prunebench):
    beside({**FILES, **SETTINGS, **RECORDS, **HARMLESS})
    begun = time.monotonic()
    planned = prunebench(
        "prune", "--model", "resnet18", "--fraction", "0.4", "--dry-run", "--iterations", "1", "--finetune-epochs", "1"
    )
    assert planned.status == 0, planned.err
    key = next(path.name for path in runs.glob("resnet18-structured-*"))
    finished = prunebench("evaluate", "--run", key[:-2])
    assert "has not kept the checkpoint" in finished.err, finished.err
    for more in ((), ("--data-dir", "data")):
        newest = prunebench("evaluate", "--model", "resnet18", "--criterion", "l1", *more)
        assert "has not kept the checkpoint" in newest.err, newest.err
    assert time.monotonic() - begun < SECONDS * 3


def test_where_none_can_be_read_it_is_an_error(runs, prunebench):
    for path in runs.glob("resnet18-structured-*"):
        RECORDS["zero totals"](path)
    for listing in ("report", "compare a study"):
        finished = prunebench(*LISTINGS[listing])
        assert (finished.status, finished.out) == (2, "")
        assert "record.json is damaged" in finished.err
