"""Two processes of one thread train, and evaluate, at least 1.7 × as fast as one: ResNet18 and BERT-mini.

    python benchmarks/devices.py

One epoch of fine-tuning and one evaluation of training data, as a run has them: `Setup.fit` and `Setup.answered`, on
the model's default settings and masks of half its weights. Of two devices, the time is that of the first process, from
the order to the result: the model is handed to the other one each time. Both are timed in turn.
"""

from __future__ import annotations

import sys
from functools import partial

from msgspec.structs import replace

from finetune_epoch import half_pruned
from pairing import Claim, alternate, options, ratios, report
from prunebench.config import RunConfig
from prunebench.experiment.resolve import resolve
from prunebench.experiment.setup import set_up
from prunebench.experiment.team import together
from prunebench.training.state import StepState

MODELS = ("resnet18", "bert")
TARGET = 1.7


def compare(config: RunConfig, rounds: int, devices: int) -> list[Claim]:
    """Training and evaluation of one model on several devices, against one."""
    one, several = resolve(config), resolve(replace(config, devices=devices))
    with together(several) as team:
        setups = {"one": set_up(one), "several": set_up(several, team=team)}
        state = half_pruned(setups["one"])
        contenders = {f"{name} training": partial(setup.fit, StepState(1, state)) for name, setup in setups.items()}
        contenders |= {f"{name} evaluation": partial(setup.answered, state, "train") for name, setup in setups.items()}
        alternate(contenders, 1)  # warm-up, and the processes meet
        seconds = alternate(contenders, rounds)
    return [
        Claim(
            f"{config.model} {what}, {devices} devices",
            ratios(seconds[f"one {what}"], seconds[f"several {what}"]),
            "≥",
            TARGET,
            note=f"fastest {min(seconds[f'one {what}']):.2f} s and {min(seconds[f'several {what}']):.2f} s",
        )
        for what in ("training", "evaluation")
    ]


def main() -> int:
    """Run it."""
    parser = options(__doc__ or "", rounds=7, models=MODELS)
    parser.set_defaults(threads=1)
    parser.add_argument("--samples", type=int, default=1024, help="training samples per epoch  [default: 1024]")
    parser.add_argument("--devices", type=int, default=2, help="devices  [default: 2]")
    parser.add_argument("--device", default="cpu", help="where  [default: cpu]")
    given = parser.parse_args()
    claims = []
    for model in given.models:
        config = RunConfig(
            model=model,
            method="unstructured",
            fraction=0.5,
            limit_train=given.samples,
            device=given.device,
            threads=given.threads,
        )
        claims += compare(config, given.rounds, given.devices)
    return report(claims, rounds=given.rounds, threads=given.threads)


if __name__ == "__main__":
    sys.exit(main())
