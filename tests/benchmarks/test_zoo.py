"""Models of the zoo are pruned, judged and told of; what is left out or goes wrong is told as well."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import zoo
import zoo_models
import zoo_trial
from zoo_table import table


class Rolled(nn.Module):
    """A step that looks right to a graph of layers, and is not."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.fc = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 6, 3), nn.Linear(6, 10)

    def forward(self, x):
        return self.fc(self.b(self.a(x).flip(1)).relu().mean((2, 3)))


def plain():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.ReLU(),
        nn.Conv2d(8, 6, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 10),
    )


def softened():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Softmax(1), nn.Conv2d(8, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 10)
    )


def encoder():
    layer = nn.TransformerEncoderLayer(12, 3, 16, batch_first=True)
    return nn.Sequential(nn.Flatten(2), nn.Linear(64, 12), layer, nn.Flatten(1), nn.Linear(36, 10))


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def test_a_plain_model_is_whole():
    found = zoo_trial.pruned_by_prunebench(plain, zoo_models.images(8))
    assert (found.verdict, found.why, found.proved) == ("whole", "", 2)
    assert found.difference < 1e-12
    assert found.macs_left < 0.75
    assert found.excused == {"it reaches the output": ["6"]}


def test_streams_behind_layer_norms_are_no_fault():
    found = zoo_trial.pruned_by_prunebench(encoder, zoo_models.images(8))
    assert (found.verdict, found.why) == ("whole", "")
    assert "norms over channels hold them together" in found.excused


def test_what_keeps_its_units_is_named():
    found = zoo_trial.pruned_by_prunebench(softened, zoo_models.images(8))
    assert found.verdict == "partly"
    assert list(found.spared.values()) == [["0"]]


def test_what_is_refused_and_what_fails_is_told():
    refused = zoo_trial.pruned_by_prunebench(
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 10)), zoo_models.images(8)
    )
    assert refused.verdict == "refused"
    assert "nothing to prune" in refused.why
    assert zoo_trial.pruned_by_prunebench(lambda: nn.Linear(3, 4), zoo_models.images(8)).verdict == "refused"


def test_a_wrong_function_of_another_pruner_shows():
    judged = {build: zoo_trial.pruned_by_torch_pruning(build, zoo_models.images(8)) for build in (plain, Rolled)}
    assert judged[plain].verdict == "equal"
    assert judged[Rolled].verdict == "differs"
    assert zoo_trial.pruned_by_prunebench(Rolled, zoo_models.images(8)).verdict == "whole"


def row(name, side="prunebench", **about):
    usual = {"library": "timm", "family": "net", "verdict": "whole", "macs_left": 0.5, "macs_kept": 0.1, "seconds": 1.0}
    return {**usual, "name": name, "side": side, "difference": 1e-16, **about}


def test_the_table_counts_and_names_what_is_missing():
    rows = [
        row("one"),
        row("two", verdict="partly", macs_left=0.8, spared={"they hang together": ["a", "b", "c", "d"]}),
        row("three", verdict="refused", why="nothing to prune", macs_left=None),
        row("one", side="torch-pruning", verdict="differs", excused={"norms": ["n"]}),
    ]
    text = table(rows)
    assert "3 models: 1 whole, 1 partly, 1 refused. At most 75% of the MACs are left in 1 of 2." in text
    assert "on 1: 1 differs (1 of those that differ with narrower layer or group norms)" in text
    assert "| net | 3 | 1 whole, 1 partly, 1 refused | 50–80 % | 10 % | 1e-16 | 1.0 | differs | 50 % |" in text
    assert "- two: partly: `a`, `b`, `c` and 1 more (they hang together)" in text
    assert text.index("- three: refused: nothing to prune") < text.index("- two: partly")


def test_the_last_line_of_a_model_counts_and_half_a_line_does_not(tmp_path):
    file = tmp_path / "zoo.jsonl"
    lines = [json.dumps(row("one", verdict="wrong")), json.dumps(row("one")), '{"library": "timm", "na']
    file.write_text("\n".join(lines))
    assert [found["verdict"] for found in zoo.read(file).values()] == ["whole"]


def test_models_of_every_library_are_known():
    found = zoo_models.models("torchvision")
    assert len(found) == 80
    assert zoo_models.selected(found, "vgg", 3) == [m for m in found if m.family == "vgg"][:3]
    assert len(list(zoo_models._timm())) >= 70


HARD = """
import os, time, torch
from torch import nn
def fine(): return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 10))
def slow():
    while True: pass
def large(): kept = torch.ones(3 * 2**28); time.sleep(60)
MODELS = {"fine": fine, "slow": slow, "large": large, "gone": lambda: os._exit(3)}
"""


@pytest.mark.slow
def test_no_model_stops_the_rest_and_what_is_done_is_not_done_again(tmp_path):
    (tmp_path / "own.py").write_text(HARD)
    line = f"--library hard --hard {tmp_path}/own.py --into {tmp_path}/zoo.jsonl --side prunebench"
    given = zoo.options().parse_args(f"{line} --seconds 9 --memory 2".split())
    zoo.run(given)
    verdicts = {name: row["verdict"] for (_, name, _), row in zoo.read(given.into).items()}
    assert verdicts == {"fine": "whole", "slow": "does not end", "large": "too large", "gone": "died"}
    zoo.run(given)
    assert len(given.into.read_text().splitlines()) == 4


@pytest.mark.slow
def test_nothing_of_torchvision_is_wrong_or_raises(tmp_path):
    given = zoo.options().parse_args(f"--library torchvision --into {tmp_path}/zoo.jsonl --side prunebench".split())
    zoo.run(given)
    verdicts = {row["verdict"] for row in zoo.read(given.into).values()}
    assert verdicts <= {"whole", "partly", "refused", "too large"}
