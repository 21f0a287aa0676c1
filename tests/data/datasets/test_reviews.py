import subprocess
import sys

import pytest

from prunebench.data.datasets.reviews import CONTRASTS, NEGATIVE, NEGATORS, POSITIVE, load


@pytest.fixture(scope="module")
def reviews():
    return load()


def clauses(sentence):
    """The clauses of a sentence and the number of the one that decides, read from the grammar."""
    for pattern, decides in CONTRASTS:
        start, middle = pattern.split("{0}")[0], pattern.split("{0}")[1].split("{1}")[0]
        if sentence.startswith(start) and middle in sentence and (start or middle != " , "):
            return sentence.removeprefix(start).split(middle, 1), decides
    return [sentence], 0


def polarity(clause):
    positive = clause.split()[-1] in POSITIVE
    negated = any(f" was {negator} " in clause for negator in NEGATORS)
    return int(positive != negated)


def test_sizes_and_balance_are_those_of_the_description(reviews):
    assert (len(reviews.train), len(reviews.test)) == (4_000, 1_000)
    assert (sum(reviews.train.labels), sum(reviews.test.labels)) == (2_000, 500)


def test_no_sentence_occurs_twice(reviews):
    assert len({*reviews.train.inputs, *reviews.test.inputs}) == 5_000


def test_a_label_follows_from_the_clause_that_decides(reviews):
    for sentence, label in zip(reviews.test.inputs, reviews.test.labels, strict=True):
        parts, decides = clauses(sentence)
        assert polarity(parts[decides]) == label, sentence


def test_words_alone_do_not_tell_the_label(reviews):
    """Counting positive against negative words is little better than a coin."""
    words = [sentence.split() for sentence in reviews.test.inputs]
    votes = [sum(w in POSITIVE for w in text) - sum(w in NEGATIVE for w in text) for text in words]
    correct = sum((vote > 0) == bool(label) for vote, label in zip(votes, reviews.test.labels, strict=True) if vote)
    assert correct / sum(map(bool, votes)) < 0.7


def test_labels_do_not_follow_the_order_of_the_samples(reviews):
    changes = sum(a != b for a, b in zip(reviews.train.labels, reviews.train.labels[1:], strict=False))
    assert changes == pytest.approx(2_000, rel=0.1)


def test_another_process_makes_the_same_sentences(reviews):
    code = "from prunebench.data.datasets.reviews import load; print(load().train.inputs[:50])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(reviews.train.inputs[:50])
