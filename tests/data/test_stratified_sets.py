"""A subset of samples with several labels keeps what each label has."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.data.dataset import counts, present, stratified
from prunebench.data.stratified_sets import stratified_sets


@given(st.integers(2, 60), st.integers(1, 6), st.integers(0, 1000), st.data())
def test_it_has_as_many_samples_as_were_asked_for_always_the_same(samples, classes, seed, data):
    labels = np.random.default_rng(seed).random((samples, classes)) < 0.3
    count = data.draw(st.integers(1, samples - 1))
    found = stratified_sets(labels, count, seed)
    assert len(found) == count == len(set(found.tolist()))
    assert np.array_equal(found, np.sort(found))
    assert np.array_equal(found, stratified(labels.astype(np.float32), count, seed))


def test_every_label_keeps_its_share_better_than_by_chance():
    labels = np.random.default_rng(0).random((400, 8)) < np.geomspace(0.02, 0.5, 8)
    apart = [
        np.abs(labels[chosen].sum(0) - labels.sum(0) / 4)
        for chosen in (stratified_sets(labels, 100), np.random.default_rng(1).permutation(400)[:100])
    ]
    assert apart[0].max() <= 2
    assert apart[0].sum() < apart[1].sum() / 2


def test_each_of_a_label_of_four_is_dealt_as_its_share_says():
    labels = np.zeros((40, 2), bool)
    labels[:4, 0], labels[4:, 1] = True, True
    assert labels[stratified_sets(labels, 10)].sum(0).tolist() == [1, 9]


@pytest.mark.parametrize("labels", [np.array([0, 2, 2, 1]), np.array([[1.0, 0, 0], [0, 0, 1], [0, 0, 1], [0, 1, 0]])])
def test_samples_of_classes_are_counted(labels):
    assert counts(labels, 3).tolist() == [1, 1, 2]
    assert present(labels) == 3
    assert present(labels[1:]) == 2
