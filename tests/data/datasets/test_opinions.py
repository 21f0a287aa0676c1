from collections import Counter
from math import log

import pytest

from prunebench.data.dataset import Dataset, datasets
from prunebench.data.datasets.opinions import CLASSES, load

DIGEST = "96442d49dd74709d"


@pytest.fixture(scope="module")
def opinions() -> Dataset:
    return load()


def words(split):
    return [text.split() for text in split.inputs]


def test_sizes_and_balance_are_those_of_the_description(opinions):
    assert Counter(opinions.train.labels) == dict.fromkeys(range(2), 1_500)
    assert Counter(opinions.test.labels) == dict.fromkeys(range(2), 1_000)


def test_the_texts_are_those_that_figures_were_measured_on(opinions):
    assert opinions.digest().startswith(DIGEST)


def test_no_text_occurs_twice(opinions):
    assert len({*opinions.train.inputs, *opinions.test.inputs}) == len(opinions.train) + len(opinions.test)


def test_every_text_is_read_to_its_end(opinions):
    """Its words, and the two tokens around them, are no more than the tokens that are read."""
    longest = max(len(text) for split in (opinions.train, opinions.test) for text in words(split))
    assert longest + 2 <= datasets.get("opinions").defaults["sequence_length"]


def test_no_word_of_the_test_texts_is_new(opinions):
    known, asked = ({word for text in words(split) for word in text} for split in (opinions.train, opinions.test))
    assert asked <= known


def test_words_alone_do_not_tell_the_class(opinions):
    """Naive Bayes on which words there are, learnt from the training texts."""
    seen = [Counter() for _ in CLASSES]
    for text, label in zip(words(opinions.train), opinions.train.labels, strict=True):
        seen[label].update(set(text))
    correct = 0
    for text, label in zip(words(opinions.test), opinions.test.labels, strict=True):
        scores = [sum(log((of[word] + 1) / 1_502) for word in set(text)) for of in seen]
        correct += scores.index(max(scores)) == label
    assert correct / len(opinions.test) < 0.75


def test_labels_do_not_follow_the_order_of_the_samples(opinions):
    changes = sum(a != b for a, b in zip(opinions.train.labels, opinions.train.labels[1:], strict=False))
    assert changes == pytest.approx(1_500, rel=0.1)
