"""Grouped matrix products are the products that they are made of."""

from __future__ import annotations

import pytest
import torch

from prunebench.pruning.units.grouped import grouped, is_grouped


@pytest.mark.parametrize("ends", [[3, 3, 10], [0, 4, 10], [10, 10, 10]])
def test_they_equal_the_kernel_that_knows_them(ends):
    generator = torch.Generator().manual_seed(0)
    rows, matrices = torch.randn(10, 8, generator=generator), torch.randn(3, 8, 16, generator=generator)
    offs = torch.tensor(ends, dtype=torch.int32)
    torch.testing.assert_close(grouped(rows, matrices, offs), torch._grouped_mm(rows, matrices, offs=offs))


def test_rows_after_the_last_run_are_zero():
    found = grouped(torch.ones(4, 2), torch.ones(1, 2, 3), torch.tensor([3]))
    assert found[:3].eq(2).all()
    assert found[3].eq(0).all()


def test_only_runs_of_rows_are_taken_apart():
    rows, matrices = torch.ones(4, 2), torch.ones(1, 2, 3)
    assert is_grouped(torch.ops.aten._grouped_mm.default, (rows, matrices))
    assert not is_grouped(torch.ops.aten._grouped_mm.default, (rows, matrices[0]))
    assert not is_grouped(torch.ops.aten.mm.default, (rows, matrices))
