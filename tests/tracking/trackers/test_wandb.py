"""Weights & Biases, offline: lines by their numbers, in a run of one id."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from prunebench.tracking.trackers import Told, trackers
from prunebench.tracking.trackers.wandb import id_of

pytestmark = pytest.mark.filterwarnings("ignore")  # of wandb and of what it imports

HEADER, BLOCK = 7, 2**15


def stored(path):
    """The records of a file of wandb's, which is a log as LevelDB has it: blocks, and in them parts of records."""
    data, at, record = path.read_bytes(), HEADER, b""
    while at + HEADER <= len(data):
        if BLOCK - at % BLOCK < HEADER:
            at += BLOCK - at % BLOCK
            continue
        _, size, part = struct.unpack_from("<IHB", data, at)
        record += data[at + HEADER : at + HEADER + size]
        at += HEADER + size
        if part in (1, 4):  # whole, or the last part
            yield record
            record = b""


def found(folder):
    """Ids, settings, and number → figures of every line."""
    from wandb.proto.wandb_internal_pb2 import Record

    records = [
        Record.FromString(data) for path in sorted(folder.glob("wandb/offline-*/run-*.wandb")) for data in stored(path)
    ]
    about = [record.run for record in records if record.HasField("run")]
    settings = {item.key: json.loads(item.value_json) for run in about for item in run.config.update}
    told = [record.history for record in records if record.HasField("history")]
    lines = [(each.step.num, {(*i.nested_key, i.key)[0]: i.value_json for i in each.item}) for each in told]
    return {run.run_id for run in about}, settings, lines


def test_a_run_goes_on_under_its_id_after_its_last_line(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    tags = {"run": "net-dense-1", "folder": "/there", "kind": "train"}
    about = Told("net-dense-1", "2026", Path("there"), tmp_path, {"lr": 0.1}, tags, last=1)
    run = trackers.get("wandb").open(about)
    assert run.last == 1
    for line in (2, 3):
        run.tell(line, {"fit/loss": line / 2})
    run.close("finished")
    ids, settings, told = found(tmp_path)
    assert ids == {id_of(replace(about, last=-1))}
    assert ids != {id_of(replace(about, created="2027"))}
    assert (settings["lr"], settings["prunebench.folder"]) == (0.1, "/there")
    assert [(line, float(figures["fit/loss"])) for line, figures in told] == [(2, 1.0), (3, 1.5)]
