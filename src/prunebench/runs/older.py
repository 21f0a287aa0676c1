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


def upgraded_manifest(data: bytes) -> dict[str, Any] | None:
    """The JSON of a `run.json` of an older format as this one has it; None where its checksum is another.

    It keeps the number of its format, by which whoever would continue the run is told.
    """
    old = msgspec.json.decode(data)
    about, files = old["run"], old["files"]
    sealed = {**about, "config": _in_order(about["config"]), "contents": _in_order(about["contents"])}
    bare = msgspec.json.encode(old | {"run": sealed, "files": _in_order(files), "checksum": ""})
    if hashlib.sha256(bare).hexdigest() != old["checksum"]:
        return None
    config = {name: value for name, value in about["config"].items() if name != "stem"}
    stem = about["config"].get("stem", "standard")
    config["model_arg"] = [] if stem == "standard" else [f"stem={stem}"]
    what = {name: value for name, value in about.items() if name != "recipe"}
    return {**what, "config": config, "results": about["recipe"], "format": old["format"], "files": files}


def _in_order(value: dict[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value, order="deterministic"))
