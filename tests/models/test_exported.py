"""Files of `prunebench export` are told from other weight files without torch."""

from __future__ import annotations

import os

import torch
from safetensors.torch import save_file

from prunebench.models.export import export
from prunebench.models.exported import is_export


def test_an_export_tells_its_structure_and_other_files_do_not(tiny_state, tmp_path):
    state = tiny_state()
    export(state, "safetensors", tmp_path / "own.safetensors")
    assert is_export(tmp_path / "own.safetensors")
    save_file(dict(state.model.state_dict()), tmp_path / "other.safetensors", {"format": "pt"})
    torch.save(state.model.state_dict(), tmp_path / "weights.pth")
    (tmp_path / "damaged.safetensors").write_bytes((tmp_path / "own.safetensors").read_bytes()[:40])
    os.mkfifo(tmp_path / "pipe.safetensors")  # which is not waited for
    for name in ("other.safetensors", "weights.pth", "damaged.safetensors", "pipe.safetensors", "none.safetensors"):
        assert not is_export(tmp_path / name), name
