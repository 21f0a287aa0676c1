"""Runs on a real cluster: two nodes on this machine, one of which is killed while it computes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import msgspec
import pytest

from prunebench.errors import ConfigError
from prunebench.registry import check_installed
from prunebench.studies.executors import Options, executors
from prunebench.studies.executors import ray as ray_of_several
from prunebench.studies.jobs import do, jobs_of
from prunebench.studies.study import folder_of

TEXT = "[grid]\nseed = [0, 1]\n"

CLUSTER = """
import json, signal, sys, threading, time
from pathlib import Path
from ray.cluster_utils import Cluster
from prunebench.studies.executors import Options, executors
from prunebench.studies.executors import ray as ray_of_several
from prunebench.studies.jobs import jobs_of
from prunebench.studies.file import read_study
from prunebench.studies.study import experiments_of

if __name__ == "__main__":
    study, runs, kill = sys.argv[1:]
    planned = experiments_of(read_study(study), runs)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    cluster.wait_for_nodes()
    run = planned[0].run
    killed = []

    def kill_one():
        while not (run.folder.exists() and list(run.folder.glob("progress-*"))):
            time.sleep(0.05)
        cluster.remove_node(nodes[0], allow_graceful=False)
        killed.append(run.key)

    if kill == "kill":
        threading.Thread(target=kill_one, daemon=True).start()
    mine = signal.getsignal(signal.SIGTERM)
    handlers = set()

    heard = []

    def stop():
        handlers.add(signal.getsignal(signal.SIGTERM) is mine)
        return kill == "stop" and any(list(each.run.folder.glob("progress-*")) for each in planned)

    def told(job, record):
        heard.append([job.key, record.step])

    outcomes = list(executors.get("ray").run(jobs_of(planned), Options(address=cluster.address, stop=stop, told=told)))
    found = {"errors": [outcome.error for outcome in outcomes], "killed": killed, "handlers": list(handlers)}
    found |= {"stopped": [outcome.stopped for outcome in outcomes], "heard": heard}
    print(json.dumps(found))
    cluster.shutdown()
"""


@pytest.fixture
def on_cluster(tmp_path):
    """Does a study on a cluster in a process of its own; kills a node in the middle if asked to."""

    def compute(runs, kill=""):
        script = tmp_path / "cluster.py"
        script.write_text(CLUSTER, encoding="utf-8")
        command = [sys.executable, str(script), str(tmp_path / "small.toml"), str(tmp_path / runs), kill]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, timeout=240)
        return json.loads(done.stdout.splitlines()[-1])

    return compute


@pytest.mark.slow
def test_a_study_ends_to_the_bit_as_on_one_machine_though_a_node_is_killed(
    small, on_cluster, contents, monkeypatch, tmp_path
):
    monkeypatch.setenv("PRUNEBENCH_TEST_BATCH", "0.2")  # so that a step is half done for a second
    planned = small(TEXT, "cluster")
    found = on_cluster("cluster", "kill")
    assert found["errors"] == [""] * 4
    assert found["killed"] == [planned[0].run.key]
    assert found["handlers"] == [True]
    heard = [[step for key, step in found["heard"] if key == each.run.key] for each in planned]
    assert heard[0] == [0, 1, 2]  # of the one that was tried again, once each
    assert heard[1] == sorted(set(heard[1]))
    assert jobs_of(planned) == []
    monkeypatch.delenv("PRUNEBENCH_TEST_BATCH")
    alone = small(TEXT, "alone")
    for job in jobs_of(alone):
        assert do(job).fine
    assert contents(folder_of(planned)) == contents(folder_of(alone))
    assert len(contents(folder_of(alone))) > 10


@pytest.mark.slow
def test_when_asked_to_stop_every_run_ends_its_batch_and_keeps_what_it_has(
    small, on_cluster, contents, monkeypatch, tmp_path
):
    monkeypatch.setenv("PRUNEBENCH_TEST_BATCH", "0.3")
    text = "[grid]\nseed = [0, 1, 2]\n"
    planned = small(text, "cluster", epochs=10)  # so that a busy machine hears of it before they are over
    found = on_cluster("cluster", "stop")
    assert found["errors"] == [""] * 6
    assert 2 <= found["stopped"].count(True) < 6
    assert not (tmp_path / "interrupted").exists()
    assert list(folder_of(planned).glob("*/progress-*/state.json"))
    monkeypatch.delenv("PRUNEBENCH_TEST_BATCH")
    for job in jobs_of(planned):
        assert do(job).fine
    alone = small(text, "alone", epochs=10)
    for job in jobs_of(alone):
        assert do(job).fine
    assert contents(folder_of(planned)) == contents(folder_of(alone))


def test_where_no_cluster_answers_it_is_told(small):
    jobs = jobs_of(small("", "none"))
    with pytest.raises(ConfigError, match=r"--address 127\.0\.0\.1:1: no Ray cluster answers there"):
        list(executors.get("ray").run(jobs, Options(address="127.0.0.1:1")))


def test_a_package_that_is_missing_is_told():
    with pytest.raises(ConfigError, match=r"no_such_package is not installed.*pip install 'prunebench\[ray\]'"):
        check_installed(("no_such_package",), "--executor ray", "ray")


class Cluster:
    """What is asked of a Ray cluster of one node."""

    def __init__(self, cpus, gpus):
        self._has = {"CPU": cpus, "GPU": gpus}

    def cluster_resources(self):
        """All that there is."""
        return self._has

    def nodes(self):
        """The only node."""
        return [{"Alive": True, "Resources": self._has}]


def test_a_run_on_several_devices_asks_for_as_many_of_one_node(small):
    (job, *_) = jobs_of(small(""))
    job = replace(job, config=msgspec.structs.replace(job.config, devices=2, device="auto", threads=1))
    assert ray_of_several._resources(Cluster(4.0, 2.0), job) == {"num_cpus": 2.0, "num_gpus": 2.0}
    assert ray_of_several._resources(Cluster(4.0, 0.0), job) == {"num_cpus": 2.0, "num_gpus": 0.0}
    with pytest.raises(ConfigError, match=r"No node of the Ray cluster has 2 CPU\(s\) and 2 GPU\(s\)"):
        ray_of_several._resources(Cluster(4.0, 1.0), job)
