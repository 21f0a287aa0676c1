"""Made-up opinions on places, in one or two sentences: what their writer holds of the place, not what is quoted.

Every clause says something good or bad, straight or turned round: by a negation ("anything but", "nobody could call"),
a lack ("there was no trace of"), or a comparison ("the last inn was less dreary than this one"). A text
joins two with a contrast, of which the main clause decides, or side by side, where a good and a bad one are a mixed
opinion; or a clause is the word of somebody else, with which the writer agrees or not, or which counts for nothing.

Only `random.Random.random` is drawn from, whose sequence Python keeps from version to version.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from prunebench.data.dataset import Dataset, Split, register

T = TypeVar("T")

TRAIN_SAMPLES, TEST_SAMPLES = 3_000, 2_001
SEED = 20_261_126

LONGEST = 30
"""Words of a text at most, signs of punctuation included."""

CLASSES = ("negative", "mixed", "positive")


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
lovely splendid charming delightful spotless generous cosy superb tasty friendly calm bright comfortable memorable
graceful attentive delicious peaceful polished inviting pleasant refreshing wonderful cheerful tidy excellent
thoughtful reliable helpful impressive sunny enjoyable quaint marvellous exquisite warm fair fresh gracious sparkling
""")

BAD = _words("""
dreadful shabby dreary filthy gloomy rude bland cramped stale noisy awful chilly greasy sour tedious careless
miserable mouldy chaotic unpleasant disappointing rotten dull stuffy ugly hostile soggy worn stingy horrible clumsy
dingy sloppy depressing tasteless lukewarm shoddy grim unfair damp
""")

VIRTUES = _words("charm care warmth taste comfort kindness elegance patience skill harmony")
VICES = _words("dust neglect greed mould chaos boredom haste arrogance clutter decay")

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

OPENINGS = _lines("""
we came on a rainy evening
i stayed here for two nights
this was our third visit
we had booked months ahead
it was a quiet weekday
i stopped here by chance
we travelled with two children
the train was late that day
it is close to the harbour
i write this on the way home
we were a party of six
a colleague had told us of it
""")

STRAIGHT = _lines("""
the {a} was {d} {q}
one could call the {a} {d} {q}
nobody could deny that the {a} was {q}
the {a} could hardly have been more {q}
it must be said that the {a} was {q}
there is no doubt that the {a} was {q}
the {a} never failed to be {q}
this {p} was more {q} than the last one
the last {p} was less {q} than this one
the last {p} was not nearly as {q} as this one
the {a} was full of {n}
there was no end of {n} in the {a}
the {a} showed {n} everywhere
""")
"""Patterns that say what their word of quality says. {a} is an aspect, {p} a place, {q} the word, {n} a noun, {d} a
degree."""

TURNED = _lines("""
the {a} was not {d} {q}
one would not call the {a} {q}
nobody could call the {a} {q}
the {a} was anything but {q}
the {a} was far from {q}
the {a} could hardly be called {q}
it would be wrong to say that the {a} was {q}
the {a} was never {q}
this {p} was less {q} than the last one
the last {p} was more {q} than this one
this {p} was not nearly as {q} as the last one
there was no trace of {n} in the {a}
the {a} was free of any {n}
one looked in vain for {n} in the {a}
""")
"""Patterns that say the opposite."""

CONTRASTS = [  # pattern with two clauses, and which of them decides
    ("{0} , but {1}", 1),
    ("although {0} , {1}", 1),
    ("{0} , though that matters little , since {1}", 1),
    ("{0} , even though {1}", 0),
    ("{0} , which makes up for it that {1}", 0),
    ("even if {0} , in the end {1}", 1),
    ("what counts is that {0} , and not that {1}", 0),
    ("never mind that {0} : {1}", 1),
]

SIDE_BY_SIDE = _lines("""
{0} , and {1}
{0} ; {1}
{0} . also , {1}
on the one hand {0} , on the other hand {1}
{0} , while {1}
""")

BOTH = _lines("""
it is not only that {0} , but also that {1}
it is not just that {0} : {1} as well
""")
"""Patterns whose clauses say the same."""

AGREED = _lines("""
{w} said that {0} , and i agree
{w} said that {0} . i could not agree more
{w} claimed that {0} , and that is no exaggeration
{w} told us that {0} . i cannot object
if {w} thinks that {0} , i see no reason to differ
""")

DENIED = _lines("""
{w} said that {0} , and i disagree
{w} said that {0} . i do not agree
{w} claimed that {0} , and that is an exaggeration
{w} told us that {0} . i beg to differ
if {w} thinks that {0} , i see every reason to object
""")

IGNORED = _lines("""
{w} said that {0} , but to me {1}
{1} , whatever {w} says . to them {0}
{w} may think that {0} . in my eyes {1}
in my eyes {1} . {w} holds that {0}
""")
"""Patterns whose clause {0} is somebody else's."""


@register(
    "opinions",
    "made-up mixed opinions with negation and quotes, 3 classes, 3,000 train and 2,001 test",
    reads="text",
    defaults={"sequence_length": LONGEST + 2, "epochs": 12},
)
def load() -> Dataset:
    """5,001 distinct texts, as many of each class in each split; always the same ones."""
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
    opening = _one(draw, OPENINGS) + " . " if draw.random() < 0.3 else ""
    text, balance = _one(draw, [_contrast, _side_by_side, _side_by_side, _both, _word_of_others, _ignored])(draw)
    return " ".join(f"{opening}{text} .".split()), 1 + balance


def _contrast(draw: random.Random) -> tuple[str, int]:
    pattern, decides = _one(draw, CONTRASTS)
    first = _clause(draw, 1 if draw.random() < 0.5 else -1)
    clauses = [first, _clause(draw, -first[1] if draw.random() < 0.8 else first[1])]
    return pattern.format(*(text for text, _ in clauses)), clauses[decides][1]


def _side_by_side(draw: random.Random) -> tuple[str, int]:
    clauses = [_any_clause(draw), _any_clause(draw)]
    return _one(draw, SIDE_BY_SIDE).format(*(text for text, _ in clauses)), sum(says for _, says in clauses) // 2


def _both(draw: random.Random) -> tuple[str, int]:
    first = _any_clause(draw)
    return _one(draw, BOTH).format(first[0], _clause(draw, first[1])[0]), first[1]


def _word_of_others(draw: random.Random) -> tuple[str, int]:
    clause, says = _any_clause(draw)
    agreed = draw.random() < 0.5
    return _one(draw, AGREED if agreed else DENIED).format(clause, w=_one(draw, PEOPLE)), says if agreed else -says


def _ignored(draw: random.Random) -> tuple[str, int]:
    (theirs, _), (own, says) = _any_clause(draw), _any_clause(draw)
    return _one(draw, IGNORED).format(theirs, own, w=_one(draw, PEOPLE)), says


def _any_clause(draw: random.Random) -> tuple[str, int]:
    return _clause(draw, 1 if draw.random() < 0.5 else -1)


def _clause(draw: random.Random, says: int) -> tuple[str, int]:
    """A clause that says something good (1) or bad (−1), and which of the two."""
    turned = draw.random() < 0.5
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
