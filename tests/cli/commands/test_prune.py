"""`prune` end to end on a few digits: what it prints, what it writes, and how it goes on."""

from __future__ import annotations

import json
import re

import msgspec
import numpy as np
import pytest

from prunebench.records import StepRecord

TINY = ("--limit-train", "60", "--limit-test", "20", "--epochs", "1")


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_run_ends_with_a_table_of_all_steps_and_says_where_its_files_are(digits_run):
    finished = digits_run.finished
    assert finished.status == 0, finished.err
    table = finished.out.strip().splitlines()
    head = ["step", "channels", "params", "MACs", "before", "after", "95", "%", "interval", "loss"]
    assert table[0].split() == head
    assert table[4].startswith("Test accuracy over 100 samples, and cross-entropy (loss) after fine-tuning; channels")
    assert [line.split()[0] for line in table[1:4]] == ["0", "1", "2"]
    assert "there is no trained model of these settings yet" in finished.err
    assert "2 × 0.1 → 81 % of channels" in finished.err
    assert "criterion l2" in finished.err
    for line in finished.err.splitlines():
        assert not line.startswith("written ") or (digits_run.folder / line.removeprefix("written ")).is_file()


@pytest.mark.parametrize(("name", "shape"), [("performance", (5, 3)), ("num_params", (4, 2))])
def test_matrices_are_read_by_numpy(name, shape, digits_run):
    path = digits_run.folder / "performance" / f"resnet18_structured_{name}.txt"
    matrix = np.loadtxt(path)
    assert matrix.shape == shape
    assert matrix[0, -2:].tolist() == pytest.approx([90, 81])
    if name == "performance":
        assert ((matrix[1:] >= 0) & (matrix[1:] <= 1)).all()
        assert matrix[0, 0] == 100
    else:
        assert (matrix[1] > matrix[2]).all()
        assert (matrix[2] > matrix[3]).all()
    (run,) = (digits_run.folder / "runs").glob("resnet18-structured-*")
    head = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert any(run.name in line for line in head)
    assert any("digits" in line for line in head)
    assert sum(line.startswith("# row") for line in head) == shape[0]
    assert (run / path.name).read_bytes() == path.read_bytes()


def test_the_same_command_again_computes_nothing_and_prints_the_same_table(digits_run, prunebench):
    again = prunebench("prune", *digits_run.options, "--iterations", "2", "--finetune-epochs", "1", *digits_run.places)
    assert again.status == 0
    assert again.out == digits_run.finished.out
    assert "finetune" not in again.err
    assert "3 of 3 steps are there" in again.err


def test_json_prints_a_record_per_line_and_nothing_else(digits_run, prunebench):
    finished = prunebench(
        "prune", *digits_run.options, "--iterations", "2", "--finetune-epochs", "1", "--json", *digits_run.places
    )
    records = [msgspec.json.decode(line, type=StepRecord) for line in finished.out.splitlines()]
    assert [record.step for record in records] == [0, 1, 2]
    assert records[2].units[0].left < records[1].units[0].left


def test_json_has_the_names_of_before_beside_those_of_now(digits_run, prunebench):
    finished = prunebench(
        "prune", *digits_run.options, "--iterations", "2", "--finetune-epochs", "1", "--json", *digits_run.places
    )
    for line in finished.out.splitlines():
        record = json.loads(line)
        for part, total in (("test_before", 100), ("test_after", 100), ("train_before", 200), ("train_after", 200)):
            scores = record[part]
            assert (scores["total"], scores["counted"]["top1"]) == (total, [scores["correct"], total])
            assert scores["counted"]["loss"][1] == total


def test_quiet_prints_nothing(digits_run, prunebench):
    finished = prunebench(
        "prune", *digits_run.options, "--iterations", "2", "--finetune-epochs", "1", "--quiet", *digits_run.places
    )
    assert (finished.status, finished.out, finished.err) == (0, "", "")


@pytest.mark.parametrize("method", ["structured", "unstructured"])
def test_a_dry_run_prints_the_plan_with_an_estimate_of_disk_and_writes_nothing(
    method, digits_run, prunebench, tmp_path
):
    finished = prunebench(
        "prune",
        "--model",
        "resnet18",
        "--method",
        method,
        "--iterations",
        "2",
        "--finetune-epochs",
        "1",
        *TINY,
        "--dry-run",
    )
    assert finished.status == 0
    assert "2 × 0.1 → 81 %" in finished.out
    made = sum(file.stat().st_size for file in digits_run.folder.glob("runs/*/steps/*/model.safetensors")) / 1e6
    amount = made if method == "structured" else 4 * 44.79 + 2 * 11.17 / 8  # bytes of weights, and bits of masks
    told = re.search(r"disk     about ([\d.]+) MB: 3 steps and the dense run$", finished.out, re.MULTILINE)
    assert float(told.group(1)) == pytest.approx(amount, rel=0.01)
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_counts_the_disk_of_what_is_missing(digits_run, prunebench):
    def disk(*options):
        out = prunebench("prune", *digits_run.options, *options, *digits_run.places, "--dry-run").out
        return next(line.split(maxsplit=2)[2] for line in out.splitlines() if line.startswith("  disk"))

    assert disk("--iterations", "2", "--finetune-epochs", "1") == "is missing"
    plan = prunebench(
        "prune",
        *digits_run.options,
        "--iterations",
        "3",
        "--finetune-epochs",
        "1",
        *digits_run.places,
        "--dry-run",
        "--json",
    ).out
    assert json.loads(plan)["steps"] == [3]
    assert re.fullmatch(r"[\d.]+ MB: 1 step", disk("--iterations", "3", "--finetune-epochs", "1"))
    assert re.fullmatch(r"[\d.]+ MB: 3 steps", disk("--iterations", "2", "--finetune-epochs", "1", "--fraction", "0.2"))


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("--model", "resnet18", "--dataset", "cifar10"), "CIFAR10"),
        (("--model", "resnet18", "--weights", "imagenet"), "resnet18"),
        (("--model", "bert", "--dataset", "sst2"), "SST-2"),
        (("--model", "bert", "--weights", "no-one/no-such-model"), "no-one/no-such-model"),
    ],
)
@pytest.mark.usefixtures("no_network")
def test_a_dry_run_downloads_nothing(options, what, prunebench, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    finished = prunebench("prune", *options, "--dry-run")
    assert finished.status == 0, finished.err
    last = finished.out.splitlines()[-1]
    assert last.startswith("  disk     can be told once the data is there. Not on this machine yet: ")
    assert what in last
    assert ("its key is another once the data is here" in finished.out) == ("sst2" in options)
    plan = json.loads(prunebench("prune", *options, "--dry-run", "--json").out)
    assert what in plan["needed"]
    assert (plan["bytes"], plan["summary"]) == (None, None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--runs-dir", "--results-dir"])
def test_a_folder_that_cannot_be_written_to_is_told_before_the_training(option, prunebench, tmp_path):
    (tmp_path / "file").write_text("")
    finished = prunebench("prune", "--model", "resnet18", *TINY, option, "file/inside")
    assert finished.status == 2
    assert "file/inside cannot be written to" in finished.err.splitlines()[-1]
    assert "training" not in finished.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_options_override_the_file(prunebench, tmp_path_factory):
    file = tmp_path_factory.mktemp("configs") / "mine.toml"
    file.write_text("model = 'resnet18'\nfraction = 0.4\niterations = 3\nexclude = ['layer4']\n")
    finished = prunebench("prune", "--config", str(file), "--fraction", "0.2", "--dry-run", *TINY)
    assert "3 × 0.2 → 51.2 % of channels" in finished.out


def test_unstructured_pruning_writes_to_files_named_by_method_and_criterion(net, prunebench, tmp_path):
    options = (*net, "--method", "unstructured", "--criterion", "random", "--iterations", "1", "--finetune-epochs", "1")
    finished = prunebench("prune", *options, *TINY, "--results-dir", "results")
    assert finished.status == 0, finished.err
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["net-build_unstructured_random_performance.txt"]
    assert finished.out.split()[1] == "weights"


def test_a_users_own_model_and_criterion_by_the_command_line(prunebench, tmp_path):
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "def build(classes):\n"
        "    pool = nn.AdaptiveAvgPool2d(1)\n"
        "    return nn.Sequential(nn.Conv2d(3, 10, 3), nn.ReLU(), pool, nn.Flatten(), nn.Linear(10, classes))\n"
    )
    (tmp_path / "mine.py").write_text("def score(weight):\n    return -weight.abs()\n")
    options = (
        "--model",
        "net.py:build",
        "--criterion",
        "mine.py:score",
        "--iterations",
        "2",
        "--finetune-epochs",
        "1",
        "--fraction",
        "0.5",
    )
    finished = prunebench("prune", *options, *TINY, "--image-size", "8")
    assert finished.status == 0, finished.err
    assert "50.0 %" in finished.out
    assert (tmp_path / "performance" / "net-build_structured_mine-score_performance.txt").is_file()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "def build(classes):\n    return {}['x']\n",
            "profile.py:build failed: KeyError: 'x' (profile.py, line 2).",
        ),
        (
            "import sys\nsys.exit(0)\n",
            ": importing it failed: SystemExit: 0 (profile.py, line 2).",
        ),
        (
            "def built(classes):\n    pass\n",
            ": profile.py has no function 'build'; it has: built.",
        ),
        (
            "def build(classes):\n    return 1\n",
            "profile.py:build returned int;",
        ),
        (
            "def build(depth):\n    pass\n",
            "The builder of profile.py:build asks for depth: give --model-arg depth=VALUE.",
        ),
    ],
)
def test_what_fails_in_a_users_file_is_told_in_a_line_and_nothing_is_written(text, told, prunebench, tmp_path):
    (tmp_path / "profile.py").write_text(text)
    finished = prunebench("prune", "--model", "profile.py:build", *TINY, "--quiet")
    assert finished.status == 2
    assert finished.out == ""
    assert finished.err.startswith("Error: ")
    assert told in finished.err
    assert len(finished.err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["profile.py"]


def test_a_weight_file_that_would_run_code_is_refused_and_not_run(prunebench, tmp_path):
    (tmp_path / "evil.pth").write_bytes(b"cposix\nmkdir\n(S'stolen'\ntR.")
    finished = prunebench("prune", "--model", "resnet18", "--weights", "evil.pth", *TINY)
    assert finished.status == 2
    assert "evil.pth" in finished.err
    assert [path.name for path in tmp_path.iterdir()] == ["evil.pth"]


def test_patterns_that_fit_nothing_are_told(digits_run, prunebench):
    finished = prunebench("prune", *digits_run.options, "--include", "nothing.*", *digits_run.places)
    assert finished.status == 2
    last = finished.err.splitlines()[-1]
    assert last.startswith("Error: No module matches 'nothing.*'; the model consists of: conv1, bn1, ")
    assert last.endswith(", fc.")


def test_a_goal_ends_the_pruning_and_its_step_is_exported(net, prunebench, tmp_path):
    options = (*TINY, "--finetune-epochs", "1", "--until", "macs<=0.7", "--export", "small.safetensors")
    finished = prunebench("prune", *net, *options)
    assert finished.status == 0, finished.err
    assert "until    macs<=0.7" in finished.err
    assert "Step 2 is the answer: it meets every goal." in finished.out
    assert "macs<=0.7  0.657  holds" in finished.out
    assert "step 2 of run net-structured-" in finished.out
    assert (tmp_path / "small.safetensors").stat().st_size > 1e4
    longer = prunebench("prune", *net, *TINY, "--iterations", "3", "--finetune-epochs", "1")
    assert "3 of 4 steps are there" in longer.err
    again = prunebench("prune", *net, *options, "--json")
    assert again.status == 0
    lines = [msgspec.json.decode(line) for line in again.out.splitlines()]
    assert [line.get("step") for line in lines] == [0, 1, 2, 2, 2]
    assert lines[3]["reached"] is True
    matrix = np.loadtxt(tmp_path / "performance" / "net-build_structured_performance.txt")
    assert matrix.shape == (5, 4)  # the columns of later steps stay


def test_a_goal_that_is_not_reached_ends_with_1_and_is_told_with_its_figures(net, prunebench, tmp_path):
    options = (
        *TINY,
        "--iterations",
        "1",
        "--finetune-epochs",
        "1",
        "--until",
        "params<=0.1",
        "--until",
        "top1>=dense-1",
        "--validation",
        "0.3",
    )
    finished = prunebench("prune", *net, *options)
    assert finished.status == 2  # a share of 1 is no bound
    options = tuple("top1>=dense-0.99" if word == "top1>=dense-1" else word for word in options)
    finished = prunebench("prune", *net, *options)
    assert finished.status == 1, finished.err
    assert "Not reached. The last step that keeps the bounds of scores is step 1. Try more than" in finished.out
    assert "does not hold" in finished.out
    assert "validation" in finished.out.splitlines()[1]
    assert "held out 30 % of the training data" in finished.err


@pytest.mark.parametrize(
    ("goal", "status", "says"),
    [
        ("loss<=dense+0.5", 0, r"dense[+-]0\.\d+ +holds"),
        ("loss<=9", 0, r"[\d.]+ +holds"),
        ("loss<=0.01", 1, r"[\d.]+ +does not hold"),
    ],
)
def test_a_goal_may_bound_the_loss(goal, status, says, net, prunebench):
    options = (*TINY, "--validation", "0.3", "--until", goal, "--until", "params<=0.9", "--finetune-epochs", "0")
    finished = prunebench("prune", *net, *options)
    assert finished.status == status, finished.out
    assert re.search(rf"^  {re.escape(goal)} +{says}$", finished.out, re.MULTILINE), finished.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--until", "macs<0.5"), "macs is bounded by <=."),
        (("--until", "macs<=0.5", "--method", "unstructured"), "masks do not lower MACs"),
        (("--until", "top1>=0.5", "--validation", "0"), "--validation 0 holds none out"),
        (("--until", "top5>=0.9"), "--until 'top5>=0.9': on this data are counted: top1, loss."),
        (("--until", "loss>=0.5"), "loss is bounded by <=."),
        (("--export", "model.zip"), "give a name that ends in .safetensors, .pt2, .onnx"),
        (("--export", "model.onnx", "--keep", "records"), "--keep records leaves none; give --keep last"),
        (("--backend", "tensorrt", "--until", "latency@1<=0.5"), "There is no backend 'tensorrt'"),
        (("--round-to", "8", "--method", "unstructured"), "--round-to is for structured pruning"),
    ],
)
def test_goals_and_files_that_cannot_be_are_told_before_anything_is_computed(options, message, prunebench, tmp_path):
    finished = prunebench("prune", "--model", "resnet18", *TINY, *options)
    assert finished.status == 2
    assert message in finished.err
    assert list(tmp_path.iterdir()) == []


def test_without_a_goal_the_last_step_is_exported(net, prunebench, tmp_path):
    finished = prunebench("prune", *net, *TINY, "--iterations", "1", "--finetune-epochs", "1", "--export", "last.pt2")
    assert finished.status == 0, finished.err
    assert "step 1 of run net-structured-" in finished.out
    assert (tmp_path / "last.pt2").exists()
