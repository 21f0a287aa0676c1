"""Grouped matrix products, as the plain products that they are made of: kernels know them in single precision alone."""

from __future__ import annotations

from typing import Any

import torch

GROUPED = torch.ops.aten._grouped_mm.default


def is_grouped(func: Any, args: Any) -> bool:
    """Whether an operation multiplies runs of rows by a matrix each, as layers of experts do."""
    return func is GROUPED and args[0].dim() == 2 and args[1].dim() == 3


def grouped(
    rows: torch.Tensor,
    matrices: torch.Tensor,
    offs: torch.Tensor,
    bias: torch.Tensor | None = None,
    out_dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """The products of runs of rows by a matrix each, shape (rows, columns); rows after the last run are zero.

    Args:
        rows: (rows, inner).
        matrices: (groups, inner, columns).
        offs: where each run ends, int32 of shape (groups,).
        bias: added to every row, where there is one.
    """
    ends = offs.tolist()
    runs = enumerate(zip([0, *ends], ends, strict=False))
    found = [torch.mm(rows[start:end], matrices[i]) for i, (start, end) in runs if start < end]
    if not found or ends[-1] < rows.shape[0]:
        found.append(rows.new_zeros(rows.shape[0] - (ends[-1] if ends else 0), matrices.shape[2]))
    out = torch.cat(found)
    out = out if bias is None else out + bias
    return out if out_dtype is None else out.to(out_dtype)
