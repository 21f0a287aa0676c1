"""Whether ResNet18 on the made-up shapes, and BERT-mini on the made-up opinions, end between 80 and 95 %.

    python benchmarks/difficulty.py

The models are trained with the default settings, on one thread unless another number is given. Logistic regression on
word counts stays under 75 % on the opinions: they are no matter of words alone. `--rounds` is the number of seeds.
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

PAIRS = {"resnet18": "shapes", "bert": "opinions"}


def bag_of_words(dataset: str) -> float:
    """Test accuracy of logistic regression on word counts, percent."""
    data = datasets.get(dataset).load()
    model = make_pipeline(CountVectorizer(), LogisticRegression(max_iter=1000))
    model.fit(data.train.inputs, data.train.labels)
    return 100 * float(model.score(data.test.inputs, data.test.labels))


def trained(model: str, seed: int, threads: int) -> tuple[float, float]:
    """Test accuracy, percent, and seconds of training, evaluation included."""
    started = time.perf_counter()
    record = train(RunConfig(model=model, dataset=PAIRS[model], seed=seed, device="cpu", threads=threads))
    return 100 * record.test_after.top1, time.perf_counter() - started


def main() -> int:
    """Run it."""
    parser = options(__doc__ or "", rounds=3, models=list(PAIRS))
    parser.set_defaults(threads=1)
    given = parser.parse_args()
    claims = []
    if "bert" in given.models:
        claims.append(
            Claim("opinions, bag of words, logistic regression", [bag_of_words("opinions")], "≤", 75, unit="%")
        )
    for model in given.models:
        for seed in range(given.rounds):
            accuracy, seconds = trained(model, seed, given.threads)
            about = f"{PAIRS[model]}, {model}, seed {seed}"
            claims.append(Claim(about, [accuracy], "≥", 80, unit="%", note=f"{seconds:.0f} s"))
            claims.append(Claim(about, [accuracy], "≤", 95, unit="%"))
    return report(claims, rounds=given.rounds, threads=given.threads)


if __name__ == "__main__":
    sys.exit(main())
