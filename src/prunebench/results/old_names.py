"""Records as JSON that keeps the names which fields had when accuracy was all that was scored."""

from __future__ import annotations

from typing import Any

import msgspec


def with_old_names(record: msgspec.Struct) -> Any:
    """A record as what JSON is made of: `correct`, `total`, and of a timing `top1`, beside the newer names."""
    return _with_old_names(msgspec.to_builtins(record))


def _with_old_names(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_with_old_names(part) for part in value]
    if not isinstance(value, dict):
        return value
    found = {name: _with_old_names(part) for name, part in value.items()}
    if "top1" in (counted := found.get("counted") or {}):
        correct, total = counted["top1"]
        found = {"correct": round(correct), "total": total, **found}
    if "variant" in found:  # of a timing
        found["top1"] = found["scores"]
    return found
