"""Made-up reviews whose label a bag of words cannot tell: negation, contrast and intensifiers decide it.

The label is the polarity of the adjective, turned round by a negator, in the clause that decides:
"although the plot was not dull, the ending was hardly warm" is negative, since its main clause is.
"""

from __future__ import annotations

import random

from prunebench.data.dataset import Dataset, Split, register

TRAIN_SAMPLES, TEST_SAMPLES = 4_000, 1_000
SEED = 20_240_229

SUBJECTS = [
    "plot",
    "acting",
    "ending",
    "music",
    "dialogue",
    "pacing",
    "cast",
    "camera",
    "humour",
    "script",
    "sound",
    "opening",
]
POSITIVE = [
    "warm",
    "clever",
    "moving",
    "fresh",
    "lively",
    "honest",
    "elegant",
    "gripping",
    "funny",
    "tender",
    "bright",
    "subtle",
]
NEGATIVE = [
    "dull",
    "clumsy",
    "tired",
    "flat",
    "noisy",
    "shallow",
    "boring",
    "stale",
    "cold",
    "confused",
    "lazy",
    "forced",
]
NEGATORS = ["not", "never", "hardly", "far from", "anything but"]
INTENSIFIERS = ["very", "really", "truly", "quite", "so", "remarkably"]
CONTRASTS = [  # pattern with two clauses, and which of them decides
    ("{0} , but {1}", 1),
    ("although {0} , {1}", 1),
    ("while {0} , {1}", 1),
    ("{0} , although {1}", 0),
    ("{0} , even if {1}", 0),
    ("despite the fact that {0} , {1}", 1),
]


@register(
    "reviews",
    "made-up reviews with negation and contrast, 2 classes, 4,000 train and 1,000 test",
    reads="text",
    defaults={"sequence_length": 32},
)
def load() -> Dataset:
    """5,000 distinct sentences, half of them positive in each split; always the same ones."""
    draw = random.Random(SEED)
    wanted = {0: (TRAIN_SAMPLES + TEST_SAMPLES) // 2, 1: (TRAIN_SAMPLES + TEST_SAMPLES) // 2}
    sentences: dict[str, int] = {}
    while any(wanted.values()):
        sentence, label = _sentence(draw)
        if wanted[label] and sentence not in sentences:
            sentences[sentence] = label
            wanted[label] -= 1
    by_label = {kind: [s for s, label in sentences.items() if label == kind] for kind in (0, 1)}
    splits = []
    for start, count in ((0, TEST_SAMPLES // 2), (TEST_SAMPLES // 2, TRAIN_SAMPLES // 2)):
        rows = [(s, label) for label in (0, 1) for s in by_label[label][start : start + count]]
        draw.shuffle(rows)
        splits.append(Split([s for s, _ in rows], [label for _, label in rows]))
    test, train = splits
    return Dataset(train, test, ["negative", "positive"])


def _sentence(draw: random.Random) -> tuple[str, int]:
    if draw.random() < 0.35:
        return _clause(draw)
    pattern, decides = draw.choice(CONTRASTS)
    clauses = [_clause(draw), _clause(draw)]
    return pattern.format(*(text for text, _ in clauses)), clauses[decides][1]


def _clause(draw: random.Random) -> tuple[str, int]:
    positive, negated = draw.random() < 0.5, draw.random() < 0.4
    words = ["the", draw.choice(SUBJECTS), "was"]
    words += [draw.choice(NEGATORS)] if negated else []
    words += [draw.choice(INTENSIFIERS)] if draw.random() < 0.5 else []
    words += [draw.choice(POSITIVE if positive else NEGATIVE)]
    return " ".join(words), int(positive != negated)
