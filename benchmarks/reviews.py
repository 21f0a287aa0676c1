"""The made-up reviews cannot be told by their words alone, and BERT-mini learns them with every seed.

    python benchmarks/reviews.py

Logistic regression on a bag of words stays under 85 % test accuracy; BERT-mini, trained with the model's default
settings, reaches 95 % with each of three seeds. `--rounds` is the number of seeds.
"""

from __future__ import annotations

import sys
import time

from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from pairing import Claim, options, report
from prunebench import RunConfig, train
from prunebench.data.dataset import datasets


def bag_of_words() -> float:
    """Test accuracy of logistic regression on word counts, percent."""
    data = datasets.get("reviews").load()
    model = make_pipeline(CountVectorizer(), LogisticRegression(max_iter=1000))
    model.fit(data.train.inputs, data.train.labels)
    return 100 * float(model.score(data.test.inputs, data.test.labels))


def bert(seed: int, threads: int) -> tuple[float, float]:
    """Test accuracy of BERT-mini, percent, and seconds of training."""
    started = time.perf_counter()
    record = train(RunConfig(model="bert", dataset="reviews", seed=seed, device="cpu", threads=threads))
    return 100 * record.test_after.top1, time.perf_counter() - started


def main() -> int:
    """Run it."""
    given = options(__doc__ or "", rounds=3).parse_args()
    claims = [Claim("bag of words, logistic regression", [bag_of_words()], "≤", 85, unit="%")]
    for seed in range(given.rounds):
        accuracy, seconds = bert(seed, given.threads)
        claims.append(Claim(f"BERT-mini, seed {seed}", [accuracy], "≥", 95, unit="%", note=f"{seconds:.0f} s"))
    return report(claims, rounds=given.rounds, threads=given.threads)


if __name__ == "__main__":
    sys.exit(main())
