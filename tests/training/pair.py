"""One of two processes that fit and evaluate together: what tests/training/test_distributed.py starts.

    python pair.py PORT RANK FOLDER

Both read cases from FOLDER/cases.pt and do them one after the other; each writes what it comes to.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from prunebench import Dataset, Split
from prunebench.data.images import ImageTask
from prunebench.experiment.answers import Watching
from prunebench.models.architecture import Architecture
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.input_spec import InputSpec
from prunebench.training.distributed import join, leave
from prunebench.training.fit import Position, evaluate, fit
from prunebench.training.optimizers import Recipe
from prunebench.training.state import StepState

CPU = torch.device("cpu")
HERE = Position(seed=3, phase="finetune", step=2)
ARCHITECTURE = Architecture("tiny", {"classes": 3}, InputSpec(kind="images", size=12))
BASE = Recipe(epochs=2, batch_size=16, optimizer="sgd", lr=0.05, schedule="cosine")
WEIGHTS = torch.tensor([0.5, 1.0, 2.0])

CASES = {
    "sgd": replace(BASE, momentum=0.9, weight_decay=0.01, augment=True),
    "adamw": replace(BASE, optimizer="adamw", lr=0.01, weight_decay=0.1),
    "clipped": replace(BASE, clip_norm=0.1),
    "weighted": replace(BASE, momentum=0.9),
    "without batch norm": replace(BASE, momentum=0.9),
    "frozen": replace(BASE, freeze=True),
    "unused": replace(BASE, weight_decay=0.1),
}


class Net(nn.Module):
    """Two convolutions and a classifier, with batch norm and dropout or without; a layer that has no use, if asked."""

    def __init__(self, norms: bool = True, unused: bool = False) -> None:
        super().__init__()
        convolution = nn.Conv2d(3, 8, 3, padding=1, bias=not norms)
        norm, drop = (nn.BatchNorm2d(8), nn.Dropout(0.2)) if norms else (nn.Identity(), nn.Identity())
        self.features = nn.Sequential(convolution, norm, nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), drop)
        self.classifier = nn.Linear(32, 3)
        self.spare = nn.Linear(2, 2) if unused else None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scores of three classes."""
        return self.classifier(self.features(images))


def model_of(name: str) -> nn.Module:
    """The model of a case, always with the same weights."""
    torch.manual_seed(0)
    return Net(norms=name != "without batch norm", unused=name == "unused")


def masks_of(name: str) -> dict[str, torch.Tensor]:
    """What is left of some weights; of a case the whole convolution is masked."""
    drawn = torch.rand((8, 3, 3, 3), generator=torch.Generator().manual_seed(1)) > (2 if name == "unused" else 0.5)
    return {} if name == "frozen" else {"features.0.weight": drawn}


def task_of(dataset: Dataset, name: str) -> ImageTask:
    """The small images; in one case classes do not count alike."""
    return ImageTask(dataset, 12, class_weights=WEIGHTS if name == "weighted" else None)


def state_of(name: str) -> StepState:
    """The step of a case, whose masked weights are zero."""
    model = model_of(name)
    for parameter, mask in masks_of(name).items():
        with torch.no_grad():
            model.get_parameter(parameter).mul_(mask)
    return StepState(HERE.step, Checkpoint(ARCHITECTURE, model, masks_of(name)))


def compute(dataset: Dataset, group) -> dict[str, object]:
    """What all cases come to."""
    found: dict[str, object] = {}
    for name, recipe in CASES.items():
        task, saved = task_of(dataset, name), []
        ended = fit(
            state_of(name),
            task,
            recipe,
            HERE,
            device=CPU,
            save=lambda state, saved=saved: saved.append((state.loss, state.score, state.samples)),
            every=0.0,
            group=group,
        )
        model, answers = ended.checkpoint.model, {}
        for buffer in model.buffers():  # an order to evaluate brings those of the first process
            dist.broadcast(buffer, 0)
        for size in (10, 25):  # three batches, and fewer batches than processes
            about = {"batch_size": size, "device": CPU, "dtype": "fp32", "group": group}
            watching = Watching(task.objective, share=0.1)
            scores = evaluate(model, task, "test", torch.arange(25), watch=watching, **about)
            answered = watching.answered(scores, group)
            counted = {metric: (each.sum, each.count) for metric, each in scores.counted.items()}
            answers[size] = counted, answered.right, dict(answered.swings)
        found[name] = {"state": model.state_dict(), "loss": ended.mean_loss, "saved": saved, "answers": answers}
        found[name]["hooks"] = _gradient_alone(model, task)
    return found


def _gradient_alone(model: nn.Module, task: ImageTask) -> bool:
    """Whether one process can ask a model for gradients again, without the other."""
    inputs, target = next(task.batches("train", [torch.arange(8)], CPU))
    task.objective.loss(model(inputs), target).backward()
    return True


def main() -> None:
    """Do it."""
    port, rank, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    store = dist.TCPStore("127.0.0.1", port, is_master=False)
    (train, labels), (test, others) = torch.load(folder / "images.pt")
    dataset = Dataset(Split(train.numpy(), labels.numpy()), Split(test.numpy(), others.numpy()), ["a", "b", "c"])
    group = join(store, rank, 2, on_gpu=False)
    torch.save(compute(dataset, group), folder / f"{rank}.pt")
    leave()


if __name__ == "__main__":
    main()
