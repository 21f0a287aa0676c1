"""Worker processes read in order, as many as were asked for."""

import os

from prunebench.data.workers import read_by


class Squares:
    """Numbers, read one by one."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return index * index


def test_more_processes_than_cores_are_no_matter_for_a_warning():
    """A warning is an error here."""
    found = read_by((os.cpu_count() or 1) + 1, Squares(), [[0, 1], [5], [2, 3, 4]], list)
    assert list(found) == [[0, 1], [25], [4, 9, 16]]
