"""Matrices: tensors of weights as they are multiplied, a row per output and a column per input.

Wherever a tensor has its outputs (a linear layer in its first dimension, a transposed one in its last, a batch of
matrices in two), and whatever module holds it: it is asked of the products that it is in.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from prunebench.models.input_spec import InputSpec
from prunebench.pruning.evidence.inputs import output_rows


@dataclass(frozen=True)
class Matrix:
    """Where in a flattened tensor the weights of each output are.

    Attributes:
        index: int64 of shape (rows, columns). Of a convolution the columns are in the order (*kernel, inputs), so that
            inputs at the same place of the kernel stand side by side, as hardware for sparse weights has them.
        inputs: how many columns stand side by side so; all of a matrix that is not of a convolution.
    """

    index: torch.Tensor
    inputs: int


def matrices(model: nn.Module, inputs: InputSpec) -> dict[str, Matrix]:
    """The matrices of the parameters that are multiplied with data themselves; of those that others are computed of,
    and of recurrent layers, there are none."""
    found = {name: matrix_of(rows) for name, rows in output_rows(model, inputs).items()}
    return {name: matrix for name, matrix in found.items() if matrix is not None}


def matrix_of(rows: torch.Tensor) -> Matrix | None:
    """The matrix of a tensor, of which `rows` tells the output that each weight is summed up in; None where outputs
    have different numbers of weights."""
    places = torch.arange(rows.numel(), device=rows.device).view(rows.shape)
    if rows.ndim > 2 and (rows.flatten(1) == rows.flatten(1)[:, :1]).all():
        return Matrix(places.movedim(1, -1).flatten(1), rows.shape[1])
    counts = rows.flatten().unique(return_counts=True)[1]
    if (counts != counts[0]).any():
        return None
    index = rows.flatten().argsort(stable=True).view(len(counts), -1)
    return Matrix(index, index.shape[1])


def one_row(tensor: torch.Tensor) -> Matrix:
    """A tensor as a single row, where its outputs are not known."""
    return Matrix(torch.arange(tensor.numel(), device=tensor.device)[None], tensor.numel())
