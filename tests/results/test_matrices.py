import io

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.config import RunConfig
from prunebench.errors import UnknownName
from prunebench.experiment.existing import efficiency_run
from prunebench.experiment.resolve import resolve
from prunebench.latency.config import EfficiencyConfig
from prunebench.records import LatencyRecord, Scores, TimingRecord
from prunebench.results import matrices
from prunebench.results.amounts import percent
from prunebench.runs.run import Run

NUMBERS = st.floats(0, 1e9) | st.integers(0, 10**10).map(float)


def run_of(tmp_path, **given):
    return resolve(RunConfig(model="alexnet", runs_dir=str(tmp_path / "runs"), **given)).run


@pytest.fixture
def timed_run(tmp_path, here):
    """Makes an efficiency run without timings; keywords replace its settings."""

    def make(**settings):
        experiment = resolve(RunConfig(model="alexnet", runs_dir=str(tmp_path / "timed")))
        run = efficiency_run(experiment, EfficiencyConfig(**settings).settings(), None)
        with run.working(here):
            run.commit(TimingRecord(step=1, latencies=()), lambda folder: None)
        return run

    return make


def latency(step, variant, size, samples):
    return LatencyRecord(
        run="alexnet-structured-0",
        model="alexnet",
        method="structured",
        step=step,
        nominal_left=0.9**step,
        variant=variant,
        batch_size=size,
        device="cpu",
        dtype="fp32",
        threads=2,
        samples_ms=tuple(samples),
    )


@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(NUMBERS, min_size=n, max_size=n), min_size=1, max_size=5)))
def test_numpy_reads_what_is_written(rows):
    names = [f"row # {i}" for i in range(len(rows))]
    text = matrices.text(rows, names, {"settings": "a=1 b='# 2'"}, "steps")
    np.testing.assert_allclose(np.loadtxt(io.StringIO(text), ndmin=2), rows, rtol=1e-9)


@pytest.mark.parametrize("break_", ["\n", "\r", "\r\n", "\x0b", "\u2028"])
def test_a_setting_with_a_line_break_adds_no_row(break_):
    text = matrices.text([[1.0, 2.0]], ["row"], {"settings": f"model=net{break_}3 4"}, "steps")
    assert text.splitlines()[0] == "# settings: model=net 3 4"
    np.testing.assert_allclose(np.loadtxt(io.StringIO(text), ndmin=2), [[1.0, 2.0]])


def test_the_head_names_every_row():
    head = matrices.text([[1], [2]], ["percent", "count"], {"run": "key"}, "steps 0 to 0").splitlines()[:4]
    assert head == ["# run: key", "# columns: steps 0 to 0", "# row 1: percent", "# row 2: count"]


def test_steps_become_a_performance_and_a_parameter_matrix(tmp_path, make_record):
    run = run_of(tmp_path)
    records = [make_record(step) for step in range(4)]
    paths = matrices.write_steps(run, records, tmp_path / "performance")
    assert [path.name for path in paths] == ["alexnet_structured_performance.txt", "alexnet_structured_num_params.txt"]
    performance, counts = (np.loadtxt(path) for path in paths)
    assert performance.shape == (5, 4)
    np.testing.assert_allclose(performance[0], [100, 90, 81, 72.9])
    np.testing.assert_allclose(performance[1:, 2], [198 / 360, 998 / 1437, 338 / 360, 1435 / 1437], rtol=1e-9)
    np.testing.assert_allclose(
        counts,
        [[90, 81, 72.9], [10_000] * 3, [9_000, 8_100, 7_300], [8_100, 6_561, 5_329]],
    )
    for path in paths:
        assert (run.folder / path.name).read_text() == path.read_text()
        assert run.key in path.read_text().splitlines()[0]


def test_a_performance_matrix_holds_the_main_metric(make_record):
    parts = {"test_before": 1, "train_before": 2, "test_after": 3, "train_after": 4}
    scores = {name: Scores.of(top5=(340 + i, 360), top1=(300, 360), loss=(90.0, 360)) for name, i in parts.items()}
    rows = matrices.performance([make_record(0, **scores), make_record(1, **scores)])
    assert [row[1] for row in rows] == pytest.approx([90, 341 / 360, 342 / 360, 343 / 360, 344 / 360])


def test_an_unpruned_or_unstructured_run_has_no_parameter_matrix(tmp_path, make_record):
    results = tmp_path / "performance"
    assert len(matrices.write_steps(run_of(tmp_path), [make_record(0)], results)) == 1
    unstructured = run_of(tmp_path, method="unstructured")
    assert len(matrices.write_steps(unstructured, [make_record(0), make_record(1)], results)) == 1


@pytest.mark.parametrize(
    ("given", "stem"),
    [
        ({}, "alexnet_structured"),
        ({"criterion": "l2"}, "alexnet_structured"),
        ({"criterion": "l1"}, "alexnet_structured_l1"),
        ({"method": "unstructured"}, "alexnet_unstructured"),
        ({"method": "unstructured", "criterion": "random"}, "alexnet_unstructured_random"),
    ],
)
def test_the_criterion_is_in_the_name_where_it_is_not_the_methods_own(tmp_path, given, stem):
    assert matrices.stem(run_of(tmp_path, **given).manifest) == stem


@pytest.mark.parametrize(
    "name", ["../../evil", "/evil", "a/../../../evil", "x.py:../../evil", "..", "a\\..\\evil", "\0"]
)
@pytest.mark.parametrize("field", ["model", "criterion"])
def test_no_name_in_a_run_leads_out_of_the_results_folder(field, name, tmp_path, make_record, timed_run):
    run = run_of(tmp_path)
    hostile = Run(run.root, msgspec.structs.replace(run.manifest, config={**run.manifest.config, field: name}))
    results = tmp_path / "a" / "b" / "performance"
    timings = [TimingRecord(step=0, latencies=[latency(0, variant, 1, [1.0]) for variant in matrices.TIMED])]
    paths = matrices.write_timings(timed_run(), hostile.manifest, hostile.folder, timings, results)
    paths += matrices.write_steps(hostile, [make_record(0), make_record(1)], results)
    assert len({path.name for path in paths}) == 4
    for path in paths:
        assert path.resolve().parent == results.resolve()
        assert (hostile.folder / path.name).exists()
    written = {path.resolve().parent for path in tmp_path.rglob("*") if path.is_file()}
    assert {folder for folder in written if "timed" not in folder.parts} == {
        results.resolve(),
        hostile.folder.resolve(),
    }


def test_a_method_that_is_a_path_is_refused(tmp_path):
    run = run_of(tmp_path)
    with pytest.raises(UnknownName, match="no method"):
        matrices.stem(msgspec.structs.replace(run.manifest, config={**run.manifest.config, "method": "../../evil"}))


def test_a_matrix_of_another_run_is_replaced_with_a_word(tmp_path, make_record, caplog):
    caplog.set_level("INFO", logger="prunebench")
    results = tmp_path / "performance"
    first, second = run_of(tmp_path), run_of(tmp_path, seed=1)
    matrices.write_steps(first, [make_record(0)], results)
    matrices.write_steps(first, [make_record(0), make_record(1)], results)
    assert caplog.messages == []
    (path, _) = matrices.write_steps(second, [make_record(0), make_record(1)], results)
    assert f"replacing {path}, which showed {first.key}" in caplog.messages
    assert second.key in path.read_text()
    assert first.key in (first.folder / path.name).read_text()


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "alexnet_structured_53.14_efficiency.txt"),
        ({"backend": "openvino"}, "alexnet_structured_53.14_openvino_efficiency.txt"),
        ({"dtype": "bf16"}, "alexnet_structured_53.14_bf16_efficiency.txt"),
        ({"backend": "compile", "dtype": "bf16"}, "alexnet_structured_53.14_compile_bf16_efficiency.txt"),
    ],
)
def test_timings_become_a_matrix_of_medians_per_step_and_a_json(settings, name, tmp_path, timed_run):
    times = {"original": (3.0, 1.0, 2.0), "masked": (2.0, 2.5, 9.0), "pruned": (1.0, 1.0, 0.5), "rounded": (7.0,) * 3}
    timings = [
        TimingRecord(
            step=step,
            latencies=tuple(
                latency(step, variant, size, [size * sample for sample in samples])
                for size in (16, 1)
                for variant, samples in times.items()
            ),
        )
        for step in (0, 6)
    ]
    run, timed = run_of(tmp_path), timed_run(**settings)
    paths = matrices.write_timings(timed, run.manifest, run.folder, timings, tmp_path / "performance")
    assert paths[1].name == name
    np.testing.assert_allclose(np.loadtxt(paths[1]), [[1, 16], [2, 32], [2.5, 40], [1, 16]])
    assert "# rounds: 3 at batch 1, 3 at batch 16" in paths[1].read_text()
    assert "no speed-up expected" in paths[1].read_text()
    document = msgspec.json.decode(paths[2].read_bytes())
    assert paths[2].name == name.replace("53.14_", "").replace(".txt", ".json")
    assert msgspec.convert(document["timings"], list[TimingRecord]) == timings
    assert (document["run"], document["of"]) == (timed.key, run.key)
    assert document["environment"]["threads"] == 2
    assert all((run.folder / path.name).read_bytes() == path.read_bytes() for path in paths)


def test_timings_of_untrained_weights_belong_to_no_run(tmp_path, timed_run):
    run: Run = run_of(tmp_path)
    timings = [TimingRecord(step=0, latencies=[latency(0, variant, 1, [1.0]) for variant in matrices.TIMED])]
    path, _ = matrices.write_timings(timed_run(), run.manifest, None, timings, tmp_path / "performance")
    assert path.read_text().startswith("# run: none: untrained weights\n")
    assert not run.folder.exists()


def test_a_matrix_says_every_setting_that_decides_it(tmp_path):
    about = matrices.describe("key", run_of(tmp_path, exclude=("classifier.*",)).manifest.config)
    assert about["dataset"] == "digits"
    for part in ("model=alexnet", "fraction=0.1", "seed=0", "criterion=l2", "exclude=['classifier.*']"):
        assert part in about["settings"]
    assert "runs_dir" not in about["settings"]


@pytest.mark.parametrize(
    ("share", "text"), [(1.0, "100.00"), (0.9**6, "53.14"), (0.001, "0.10"), (0.000123, "0.0123"), (1e-8, "1e-06")]
)
def test_a_share_in_a_file_name_has_two_decimals_or_three_digits(share, text):
    assert percent(share) == text


@given(st.floats(0.05, 0.9), st.integers(1, 30))
def test_steps_never_share_a_file(fraction, step):
    assert percent((1 - fraction) ** step) != percent((1 - fraction) ** (step + 1))


def test_a_run_that_is_older_than_a_setting_is_described_without_it(tmp_path):
    config = run_of(tmp_path).manifest.config
    old = {name: value for name, value in config.items() if name not in ("validation", "round_to")}
    now, before = (matrices.describe("a-run", given)["settings"] for given in (config, old))
    assert now.replace(" validation=0.0", "").replace(" round_to=1", "") == before != now
