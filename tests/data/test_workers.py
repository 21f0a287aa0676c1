"""Worker processes read in order, as many as were asked for, and are kept from pass to pass."""

import os
import time

import pytest
import torch

from prunebench.data.workers import Workers, read_by
from prunebench.errors import DataError


class Squares:
    """Numbers, read one by one."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        if index == 13:
            raise DataError("There is no thirteen.")
        if index == 99:
            os._exit(1)
        return index * index


class Readers:
    """Who reads: the process of each item."""

    def __getitem__(self, index):
        return os.getpid()


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_more_processes_than_cores_are_no_matter_for_a_warning():
    """A warning is an error here."""
    found = read_by((os.cpu_count() or 1) + 1, Squares(), [[0, 1], [5], [2, 3, 4]], list)
    assert list(found) == [[0, 1], [25], [4, 9, 16]]


def test_the_same_processes_read_every_pass_and_end_with_their_owner():
    workers = Workers(2, Readers(), list)
    passes = [{pid for batch in workers.read([[index] for index in range(4)]) for pid in batch} for _ in range(3)]
    assert len(passes[0]) == 2
    assert passes[0] == passes[1] == passes[2]
    assert os.getpid() not in passes[0]
    del workers
    deadline = time.monotonic() + 10
    while any(map(alive, passes[0])) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(alive, passes[0]))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_pass_that_is_given_up_leaves_nothing_to_the_next(count):
    workers = Workers(count, Squares(), list)
    assert next(workers.read([[index] for index in range(9)])) == [0]
    assert list(workers.read([[4], [5]])) == [[16], [25]]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_passes_that_overlap_each_read_their_own(count):
    workers = Workers(count, Squares(), list)
    one, other = workers.read([[index] for index in range(6)]), workers.read([[index] for index in (9, 8, 7)])
    found = [next(one), next(other), next(one), next(one), next(other), *one, *other]
    assert found == [[0], [81], [1], [4], [64], [9], [16], [25], [49]]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_after_an_item_that_cannot_be_read_others_can(count):
    workers = Workers(count, Squares(), list)
    with pytest.raises(DataError, match=r"^There is no thirteen\.$"):
        list(workers.read([[1], [13], [2]]))
    assert list(workers.read([[1], [2]])) == [[1], [4]]


def test_a_process_that_dies_is_one_error_and_the_next_pass_has_another():
    workers = Workers(1, Squares(), list)
    with pytest.raises(DataError, match="A process that reads images died"):
        list(workers.read([[1], [99], [2]]))
    assert list(workers.read([[1], [2]])) == [[1], [4]]


def test_the_global_generator_is_left_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    workers = Workers(1, Squares(), list)
    for _ in range(2):
        list(workers.read([[1], [2]]))
    assert torch.equal(torch.get_rng_state(), before)
