"""Trackers are told of each epoch and each step once, whatever happens to the run or to them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prunebench import dense_run, prune, pruning_run, train
from prunebench.cli.main import main
from prunebench.errors import ConfigError
from prunebench.experiment.resolve import resolve
from prunebench.studies.jobs import do, jobs_of
from prunebench.tracking.telling import Telling
from prunebench.tracking.trackers import check_tracker, trackers

RECORDER = Path(__file__).parent / "recorder.py"


def own(name="Recorder"):
    return (f"{RECORDER}:{name}",)


def told(run):
    """What the recorder has heard of a run."""
    return [json.loads(line) for line in (run.root / f"{run.key}.jsonl").read_text().splitlines()]


def lines(run):
    return [{k: v for k, v in each.items() if k != "seconds"} for each in told(run) if "line" in each]


@pytest.fixture
def tracked(tiny_config):
    """The config of two epochs and of two steps of two epochs each, told to the recorder."""
    return lambda name="Recorder", **given: tiny_config(
        **{"iterations": 2, "finetune_epochs": 2, "track": own(name), **given}
    )


def test_every_epoch_and_step_of_the_training_and_of_the_pruning_is_told_to_a_run_of_its_own(tracked):
    config = tracked()
    records = list(prune(config, pruning_run(config)))
    dense, pruning = dense_run(config), pruning_run(config)
    assert [line["line"] for line in lines(dense)] == [0, 1, 2]
    assert [line["line"] for line in lines(pruning)] == list(range(7))
    assert [line["test/top1"] for line in lines(pruning) if "macs" in line] == [r.test_after.top1 for r in records]
    epochs = [line for line in lines(pruning) if "fit/epoch" in line]
    assert [(line["step"], line["fit/epoch"]) for line in epochs] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert all(line["fit/loss"] > 0 and 0 < line["fit/lr"] <= 3e-4 for line in epochs)
    assert epochs[-1]["fit/loss"] == records[-1].loss
    assert (told(pruning)[0]["open"], told(pruning)[-1]["close"]) == (-1, "finished")


def test_the_settings_and_the_key_and_folder_are_told_with_it(tracked):
    config = tracked()
    train(config, dense_run(config))
    opened = told(dense_run(config))[0]
    assert opened["settings"]["lr"] == 0.01
    assert opened["tags"] == {"run": dense_run(config).key, "folder": str(dense_run(config).folder), "kind": "train"}


def test_who_is_told_decides_no_result_and_is_not_stored(tracked):
    config, bare = tracked(), tracked(track=())
    assert pruning_run(config).key == pruning_run(bare).key
    assert pruning_run(config).manifest.config["track"] == []


def test_a_run_that_is_stopped_goes_on_without_a_line_told_twice(tracked):
    config = tracked()
    run = pruning_run(config)
    for asked in (13, 22):  # within an epoch of training, and of step 1
        count = iter(range(asked))
        with pytest.raises(Exception, match=r"[Ss]topped"):
            list(prune(config, run, stop=lambda count=count: next(count, None) is None))
    list(prune(config, run))
    assert [line["line"] for line in lines(dense_run(config))] == [0, 1, 2]
    assert [line["line"] for line in lines(run)] == list(range(7))
    assert {"close": "stopped"} in told(run)


def test_steps_that_were_kept_before_anybody_was_told_are_told_when_the_run_goes_on(tracked):
    list(prune(tracked(track=(), iterations=1), pruning_run(tracked())))
    list(prune(tracked(), pruning_run(tracked())))
    assert [line["line"] for line in lines(pruning_run(tracked()))] == [0, 3, 4, 5, 6]


def test_a_finished_run_is_told_once_and_opened_no_more(tracked):
    run, dense = pruning_run(tracked()), dense_run(tracked())
    list(prune(tracked(track=()), run))
    for _ in range(2):
        list(prune(tracked(), run))
        train(tracked(), dense)
    assert [line["line"] for line in lines(run)] == [0, 3, 6]
    assert [line["line"] for line in lines(dense)] == [2]
    assert [sum("open" in each for each in told(of)) for of in (run, dense)] == [1, 1]


def test_a_run_that_was_set_aside_is_another_to_its_tracker(tracked):
    config = tracked()
    train(config, dense_run(config))
    dense_run(config).set_aside()
    note = next((dense_run(config).root / ".trackers").rglob("*.json"))
    note.write_bytes(note.read_bytes().replace(b'"created":"2', b'"created":"1'))  # else in the same second
    train(config, dense_run(config))
    assert [line["line"] for line in lines(dense_run(config))] == [0, 1, 2, 0, 1, 2]
    assert [each["open"] for each in told(dense_run(config)) if "open" in each] == [-1, -1]


@pytest.mark.parametrize(
    ("name", "why", "heard"),
    [
        ("fails_to_open", "ConnectionError: no such server", None),
        ("FailsInTheMiddle", "OSError: the server is gone", [0, 1]),
        ("FailsToClose", "OSError: the server is gone", list(range(7))),
        ("mute", "has no method tell", None),
    ],
)
def test_a_tracker_that_fails_is_warned_of_once_and_the_run_ends_as_it_would(name, why, heard, tracked, caplog):
    config = tracked(name)
    train(tracked(track=()), dense_run(config))
    found = list(prune(config, pruning_run(config)))
    warned = [record.getMessage() for record in caplog.records if pruning_run(config).key in record.getMessage()]
    assert len([line for line in warned if "--track" in line]) == 1
    assert why in next(line for line in warned if "--track" in line)
    assert [record.step for record in found] == [0, 1, 2]
    if heard is not None:
        assert [line["line"] for line in lines(pruning_run(config))] == heard


def test_what_a_tracker_missed_is_told_when_the_run_goes_on(tracked):
    config = tracked("FailsInTheMiddle")
    list(prune(config, pruning_run(config)))
    list(prune(tracked(iterations=3), pruning_run(config)))  # the same file, another tracker: it has no notes
    assert [line["line"] for line in lines(pruning_run(config))] == [0, 1, 0, 3, 6, 7, 8, 9]


def test_lines_are_numbered_by_the_epochs_that_the_updates_of_fine_tuning_take(tracked):
    config = tracked(finetune_epochs=1, finetune_updates=9, validation=0.2, keep="last")
    count = iter(range(40))  # within step 1
    with pytest.raises(Exception, match=r"[Ss]topped"):
        list(prune(config, pruning_run(config), stop=lambda: next(count, None) is None))
    list(prune(config, pruning_run(config)))
    epochs = [line["fit/epoch"] for line in lines(pruning_run(config)) if "fit/epoch" in line]
    assert max(epochs) > 1
    assert [line["line"] for line in lines(pruning_run(config))] == list(range(1 + 2 * (max(epochs) + 1)))


def test_a_study_tells_of_each_of_its_runs(tracked):
    config = tracked(iterations=1)
    jobs = jobs_of([resolve(config)])
    assert [do(job).error for job in jobs] == ["", ""]
    assert [line["line"] for line in lines(pruning_run(config))] == [0, 1, 2, 3]
    assert [line["line"] for line in lines(dense_run(config))] == [0, 1, 2]


def test_without_trackers_progress_is_listened_to_as_before():
    def progress(tick):
        raise AssertionError

    assert Telling("prune", 1).hearing(progress) is progress


def test_without_a_run_there_is_nothing_to_tell_of(tracked):
    with pytest.raises(ConfigError, match="--track tells of a run: give one"):
        next(prune(tracked()))


@pytest.mark.parametrize("name", trackers.names())
def test_a_tracker_that_is_not_installed_ends_the_command_before_any_training(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("prunebench.registry.importlib.util.find_spec", lambda package: None)
    places = ["--runs-dir", str(tmp_path / "runs"), "--results-dir", str(tmp_path / "results")]
    for command in ("train", "prune"):
        monkeypatch.setattr("sys.argv", ["prunebench", command, "--model", "resnet18", "--track", name, *places])
        with pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code == 2
        assert f"pip install 'prunebench[{name}]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tensorbord", "There is no tracker 'tensorbord'. Did you mean 'tensorboard'"),
        (f"{RECORDER}:greedy", "asks for an argument 'password'; it can have: run, created"),
        (f"{RECORDER}:Recordre", "has no function 'Recordre'"),
    ],
)
def test_a_tracker_that_cannot_be_one_is_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        check_tracker(name)
