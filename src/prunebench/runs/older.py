"""Older formats: what runs of earlier versions have recorded, as records of this one. They are shown, not continued.

2: accuracy is all that is scored (`correct`, `total`); `run.json` holds what the run is under `run`; the first layers
of the ResNets are a setting of every run (`stem`).
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from prunebench.records import FORMAT


def upgraded(value: Any) -> Any:
    """JSON of a record of an older format as this one has it."""
    if isinstance(value, list):
        return [upgraded(part) for part in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"correct", "total"}:
        return {"counted": {"top1": [value["correct"], value["total"]]}}
    found = {name: upgraded(part) for name, part in value.items()}
    if "variant" in found:  # of a timing
        found["scores"] = found.pop("top1", None)
    return found | ({"format": FORMAT} if "format" in found else {})


class _Run(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    kind: str
    config: dict[str, Any]
    contents: dict[str, str]
    recipe: int
    source: str | None
    created: str


class _Manifest(msgspec.Struct, frozen=True, kw_only=True):
    format: int
    run: _Run
    files: dict[str, str]
    checksum: str = ""


def upgraded_manifest(data: bytes) -> dict[str, Any] | None:
    """The JSON of a `run.json` of an older format as this one has it; None where its checksum is another.

    It keeps the number of its format, by which whoever would continue the run is told.
    """
    old = msgspec.json.decode(data, type=_Manifest)
    bare = msgspec.json.encode(msgspec.structs.replace(old, checksum=""), order="deterministic")
    if hashlib.sha256(bare).hexdigest() != old.checksum:
        return None
    about = msgspec.to_builtins(old.run)
    stem = about["config"].pop("stem", "standard")
    about["config"]["model_arg"] = [] if stem == "standard" else [f"stem={stem}"]
    return {**about, "results": about.pop("recipe"), "format": old.format, "files": old.files}
