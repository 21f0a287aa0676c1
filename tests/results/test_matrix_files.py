"""Matrices read back are what was written, and files of one run find each other."""

from __future__ import annotations

import logging
from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.errors import DataError
from prunebench.results import matrices
from prunebench.results.curves import milliseconds, unpruned
from prunebench.results.matrix_files import read

SHARES = st.floats(0, 1)
COLUMNS = st.lists(st.tuples(SHARES, SHARES, SHARES, SHARES), min_size=1, max_size=8)


def put(folder, name, rows, *head):
    """Write a matrix as plain numbers below `#` lines."""
    folder.mkdir(exist_ok=True)
    lines = [f"# {line}" for line in head] + [" ".join(map(str, row)) for row in rows]
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def steps(*left):
    """Rows of a performance matrix."""
    return [left, *([[0.5] * len(left)] * 4)]


@given(columns=COLUMNS, start=st.integers(0, 3), fraction=st.sampled_from([0.1, 0.5, 0.1591]))
def test_what_matrices_write_is_read_back(columns, start, fraction, tmp_path_factory):
    path = tmp_path_factory.mktemp("m") / "tiny_structured_l1_performance.txt"
    rows = [[100 * (1 - fraction) ** step for step in range(start, start + len(columns))], *zip(*columns, strict=True)]
    config = {"model": "tiny", "dataset": "digits", "seed": 7, "fraction": fraction, "method": "structured"}
    about, columns_line = matrices.describe("tiny-01", config), f"steps {start} to {start + len(columns) - 1}"
    path.write_text(matrices.text(rows, matrices.PERFORMANCE, about, columns_line), "utf-8")
    (curve,) = read([path]).curves
    assert (curve.name, curve.seed) == ("tiny-01", 7)
    assert curve.settings == {"model": "tiny", "dataset": "digits", "fraction": fraction, "method": "structured"}
    assert curve.steps == tuple(range(start, start + len(columns)))
    assert curve.axes["left"] == pytest.approx([share / 100 for share in rows[0]], abs=1e-9)
    for row, found in zip(rows[1:], (curve.before, curve.train_before, curve.after, curve.train_after), strict=True):
        assert found == pytest.approx(row, abs=1e-9)


def test_counts_and_times_of_a_run_become_its_axes(tmp_path):
    put(tmp_path, "Net_structured_conv_0.1_performance.txt", steps(100.0, 90.0, 81.0, 72.9))
    put(tmp_path, "Net_structured_num_params.txt", [[90, 72.9], [200, 200], [180, 150], [160, 100]])
    put(tmp_path, "net_structured_81.00_efficiency.txt", [[1, 4], [2, 8], [2, 9], [1, 6]])
    put(tmp_path, "NET_structured_72.90_openvino_efficiency.txt", [[1], [4], [4], [1]])
    found = read([tmp_path])
    (curve,) = found.curves
    assert curve.settings["fraction"] == pytest.approx(0.1)
    assert curve.axes["params"] == pytest.approx((1, 0.8, nan, 0.5), nan_ok=True)
    assert curve.axes["latency@1"] == pytest.approx((1, nan, 0.5, nan), nan_ok=True)
    assert curve.axes["latency@4"] == pytest.approx((1, nan, 0.75, nan), nan_ok=True)
    assert curve.axes["latency@1 openvino"] == pytest.approx((1, nan, nan, 0.25), nan_ok=True)
    assert milliseconds([curve], "latency@4") == {unpruned(curve): 8}
    (counts,) = found.counts
    assert counts.left == pytest.approx((1, 0.9, 0.729))
    assert (counts.masked, counts.actual) == ((200, 180, 150), (200, 160, 100))
    times = {of.backend: of for of in found.times}
    assert times["eager"].left == pytest.approx(0.81)
    assert times["eager"].batch_sizes == (1, 4)
    assert times["eager"].ms == {"original": (2, 8), "masked": (2, 9), "pruned": (1, 6)}


def test_the_machine_of_timings_is_known_where_a_file_tells_it(tmp_path):
    put(tmp_path, "net_structured_performance.txt", steps(100.0, 50.0))
    put(tmp_path, "net_structured_50.00_efficiency.txt", [[1], [2], [2], [1]], "measured on: cpu, 2 threads, eager")
    (curve,) = read([tmp_path]).curves
    (timing,) = curve.timings["eager"]
    assert {(of.device, of.threads, of.samples_ms) for of in timing.latencies} == {
        *(("cpu", 2, (2.0,)), ("cpu", 2, (1.0,))),
    }


@pytest.mark.parametrize(
    ("folder", "name", "belongs"),
    [
        ("here", "net_structured_50.00_efficiency.txt", True),
        ("here", "net_structured_random_50.00_efficiency.txt", True),  # as many go whichever they are
        ("there", "net_structured_50.00_efficiency.txt", False),
        ("here", "other_structured_50.00_efficiency.txt", False),
        ("here", "net_unstructured_50.00_efficiency.txt", False),
        ("here", "net_structured_51.00_efficiency.txt", False),
    ],
)
def test_only_files_of_the_same_folder_model_and_method_belong_to_a_run(folder, name, belongs, tmp_path):
    put(tmp_path / "here", "net_structured_performance.txt", steps(100.0, 50.0))
    put(tmp_path / folder, name, [[1], [2], [2], [1]])
    (curve,) = read([tmp_path / "here", tmp_path / folder]).curves
    assert ("latency@1" in curve.axes) == belongs


def test_of_masked_weights_the_criterion_decides_which_so_times_are_of_one_criterion(tmp_path):
    put(tmp_path, "net_unstructured_performance.txt", steps(100.0, 50.0))
    put(tmp_path, "net_unstructured_random_performance.txt", steps(100.0, 50.0))
    put(tmp_path, "net_unstructured_random_50.00_efficiency.txt", [[1], [2], [2], [1]])
    curves = {curve.settings["criterion"]: curve for curve in read([tmp_path]).curves}
    assert "latency@1" in curves["random"].axes
    assert "latency@1" not in curves["l1"].axes


def test_files_that_name_the_very_run_go_first(tmp_path):
    put(tmp_path, "net_structured_performance.txt", steps(100.0, 50.0), "run: b")
    put(tmp_path, "net_structured_a_num_params.txt", [[50], [200], [100], [40]], "run: a")
    put(tmp_path, "net_structured_z_num_params.txt", [[50], [200], [100], [60]], "run: b")
    (curve,) = read([tmp_path]).curves
    assert curve.axes["params"] == pytest.approx((1, 0.3))


@pytest.mark.parametrize("usual", ["", " stem=standard"])
def test_files_of_a_model_with_other_arguments_do_not_belong_to_a_run(usual, tmp_path):
    put(tmp_path, "net_structured_performance.txt", steps(100.0, 50.0), f"settings: model=net weights=none{usual}")
    put(
        tmp_path,
        "net_structured_50.00_efficiency.txt",
        [[1], [2], [2], [1]],
        "settings: model=net model_arg=['stem=small']",
    )
    (curve,) = read([tmp_path]).curves
    assert "latency@1" not in curve.axes
    put(tmp_path, "net_structured_a_50.00_efficiency.txt", [[1], [2], [2], [1]], "settings: model=net seed=1")
    (curve,) = read([tmp_path]).curves
    assert "latency@1" in curve.axes


def test_in_a_folder_what_is_no_matrix_is_warned_of_and_passed_over_but_not_where_it_is_named(tmp_path, caplog):
    put(tmp_path, "net_structured_performance.txt", steps(100.0, 50.0))
    put(tmp_path, "net_unstructured_performance.txt", [[1, 2]])
    (tmp_path / "notes.txt").write_text("Dear reader,\n")
    (tmp_path / "data.json").write_text("{}")
    with caplog.at_level(logging.WARNING, "prunebench"):
        assert len(read([tmp_path]).curves) == 1
    assert [("notes.txt" in line, "passed over" in line) for line in caplog.messages] == [(False, True), (True, True)]
    with pytest.raises(DataError, match="this has 1"):
        read([tmp_path / "net_unstructured_performance.txt"])
    with pytest.raises(DataError, match="no such file"):
        read([tmp_path / "nothing.txt"])


def test_a_file_that_is_named_twice_is_read_once(tmp_path):
    put(tmp_path, "net_structured_performance.txt", steps(100.0, 50.0))
    assert len(read([tmp_path, tmp_path / "net_structured_performance.txt", tmp_path]).curves) == 1


def test_a_seed_that_is_no_number_is_damage(tmp_path):
    put(tmp_path, "net_structured_performance.txt", steps(100.0, 50.0), "settings: seed=x")
    with pytest.raises(DataError, match="seed"):
        read([tmp_path / "net_structured_performance.txt"])
