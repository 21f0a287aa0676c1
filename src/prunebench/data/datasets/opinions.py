"""Made-up opinions on places, in one or two sentences: what their writer holds of the place, not what is quoted.

Every clause says something good or bad, straight or turned round: by a negation ("anything but", "nobody would call"),
a lack ("free of any dust"), or a comparison ("the last inn was less dreary than this"). A text is a clause; or it joins
two with a contrast, of which the main clause decides, or by "not only"; or a clause is the word of somebody else, with
which the writer agrees or not, or which counts for nothing beside the writer's own.

One clause in five is turned round, so that words tell something by themselves and training gets under way, but not
enough: logistic regression on word counts scores 0.69, on counts of words and pairs of them 0.72. BERT-mini with the
defaults scores 0.879 (seed 0). A harder version, with three clauses in ten turned round, it did not learn at all at its
own learning rate, which reviews take; hence the lower one.

Only `random.Random.random` is drawn from, whose sequence Python keeps from version to version.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from prunebench.data.dataset import Dataset, Split, register

T = TypeVar("T")

TRAIN_SAMPLES, TEST_SAMPLES = 3_000, 2_000
SEED = 20_261_126

LONGEST = 20
"""Words of a text at most, signs of punctuation included."""

CLASSES = ("negative", "positive")


def _words(text: str) -> list[str]:
    return text.split()


def _lines(text: str) -> list[str]:
    return text.strip().splitlines()


PLACES = _words("""
inn hotel canteen restaurant museum market campsite hostel bakery theatre ferry spa bookshop pool gallery brewery
""")

ASPECTS = _words("""
room kitchen breakfast service garden view soup bread coffee staff lighting terrace lobby bath bed menu dessert wine
music guide tour exhibition entrance staircase furniture heating shower pillow carpet location parking welcome waiter
portion salad pasta sauce playground lounge library window balcony cellar counter queue atmosphere decoration
programme price
""")

GOOD = _words("""
lovely splendid charming delightful generous superb friendly calm bright comfortable graceful delicious inviting
pleasant refreshing wonderful cheerful tidy excellent warm
""")

BAD = _words("""
dreadful shabby dreary filthy gloomy rude bland cramped stale noisy awful greasy sour tedious careless mouldy dull
ugly clumsy grim
""")

VIRTUES = _words("""
charm care comfort kindness taste
""")
VICES = _words("""
dust neglect chaos boredom decay
""")

DEGREES = _words("very really truly quite so remarkably rather utterly")

PEOPLE = _lines("""
my brother
my sister
my neighbour
my aunt
my colleague
our driver
a friend
the guidebook
my mother
the man at the next table
a critic
my flatmate
the brochure
my cousin
""")

STRAIGHT = _lines("""
the {a} was {d} {q}
one could call the {a} {d} {q}
nobody denies that the {a} was {q}
the {a} could hardly be more {q}
it must be said that the {a} was {q}
this {p} was more {q} than the last
the last {p} was less {q} than this
the {a} was full of {n}
""")
"""Patterns that say what their word of quality says. {a} is an aspect, {p} a place, {q} the word, {n} a noun, {d} a
degree."""

TURNED = _lines("""
the {a} was not {d} {q}
nobody would call the {a} {q}
the {a} was anything but {q}
the {a} could hardly be called {q}
the {a} was never {q}
this {p} was less {q} than the last
the last {p} was more {q} than this
the {a} was free of any {n}
""")
"""Patterns that say the opposite."""

CONTRASTS = [  # pattern with two clauses, and which of them decides
    ("{0} , but {1}", 1),
    ("although {0} , {1}", 1),
    ("{0} , even though {1}", 0),
    ("even if {0} , {1}", 1),
    ("what counts is that {0} , not that {1}", 0),
    ("never mind that {0} : {1}", 1),
]

BOTH = _lines("""
it is not only that {0} , but {1} too
it is not just that {0} : {1} as well
""")
"""Patterns whose clauses say the same."""

AGREED = _lines("""
{w} said that {0} , and i agree
{w} said that {0} . i could not agree more
{w} claims that {0} , and that is no exaggeration
if {w} thinks that {0} , so do i
""")

DENIED = _lines("""
{w} said that {0} , and i disagree
{w} said that {0} . i do not agree
{w} claims that {0} , and that is an exaggeration
if {w} thinks that {0} , i do not
""")

IGNORED = _lines("""
{w} said that {0} , but to me {1}
{w} may think that {0} . in my eyes {1}
in my eyes {1} . {w} thinks that {0}
""")
"""Patterns whose clause {0} is somebody else's."""


@register(
    "opinions",
    "made-up opinions with negation, contrast and quotes, 2 classes, 3,000 train and 2,000 test",
    reads="text",
    defaults={"sequence_length": LONGEST + 2, "epochs": 10, "lr": 2e-4, "finetune_lr": 1e-4},
)
def load() -> Dataset:
    """5,000 distinct texts, as many of each class in each split; always the same ones."""
    draw = random.Random(SEED)
    wanted = [(TRAIN_SAMPLES + TEST_SAMPLES) // len(CLASSES)] * len(CLASSES)
    texts: dict[str, int] = {}
    while any(wanted):
        text, label = _text(draw)
        if wanted[label] and text not in texts and len(text.split()) <= LONGEST:
            texts[text] = label
            wanted[label] -= 1
    of_test = [TEST_SAMPLES // len(CLASSES)] * len(CLASSES)
    train: list[tuple[str, int]] = []
    test: list[tuple[str, int]] = []
    for text, label in texts.items():
        (test if of_test[label] else train).append((text, label))
        of_test[label] -= bool(of_test[label])
    return Dataset(_split(train, draw), _split(test, draw), list(CLASSES))


def _split(rows: list[tuple[str, int]], draw: random.Random) -> Split:
    """Texts in a random order, since those of the rarest class were found last."""
    rows = [row for _, row in sorted((draw.random(), row) for row in rows)]
    return Split([text for text, _ in rows], [label for _, label in rows])


def _text(draw: random.Random) -> tuple[str, int]:
    """A text and its class."""
    text, says = _one(draw, [_any_clause, _any_clause, _contrast, _contrast, _both, _word_of_others, _ignored])(draw)
    return " ".join(f"{text} .".split()), int(says == 1)


def _contrast(draw: random.Random) -> tuple[str, int]:
    pattern, decides = _one(draw, CONTRASTS)
    first = _clause(draw, 1 if draw.random() < 0.5 else -1)
    clauses = [first, _clause(draw, -first[1] if draw.random() < 0.6 else first[1])]
    return pattern.format(*(text for text, _ in clauses)), clauses[decides][1]


def _both(draw: random.Random) -> tuple[str, int]:
    first = _any_clause(draw)
    return _one(draw, BOTH).format(first[0], _clause(draw, first[1])[0]), first[1]


def _word_of_others(draw: random.Random) -> tuple[str, int]:
    clause, says = _any_clause(draw)
    agreed = draw.random() < 0.75
    return _one(draw, AGREED if agreed else DENIED).format(clause, w=_one(draw, PEOPLE)), says if agreed else -says


def _ignored(draw: random.Random) -> tuple[str, int]:
    (theirs, _), (own, says) = _any_clause(draw), _any_clause(draw)
    return _one(draw, IGNORED).format(theirs, own, w=_one(draw, PEOPLE)), says


def _any_clause(draw: random.Random) -> tuple[str, int]:
    return _clause(draw, 1 if draw.random() < 0.5 else -1)


def _clause(draw: random.Random, says: int) -> tuple[str, int]:
    """A clause that says something good (1) or bad (−1), and which of the two."""
    turned = draw.random() < 0.2
    good = (says == 1) != turned
    words = {
        "a": _one(draw, ASPECTS),
        "p": _one(draw, PLACES),
        "q": _one(draw, GOOD if good else BAD),
        "n": _one(draw, VIRTUES if good else VICES),
        "d": _one(draw, DEGREES) if draw.random() < 0.5 else "",
    }
    return _one(draw, TURNED if turned else STRAIGHT).format(**words), says


def _one(draw: random.Random, of: Sequence[T]) -> T:
    """One of several, by the one method whose sequence Python promises to keep."""
    return of[int(draw.random() * len(of))]
