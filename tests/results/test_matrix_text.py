"""A matrix tells by its name and its `#` lines what it is about; what is damaged or foreign is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from prunebench.config import deciding
from prunebench.errors import DataError
from prunebench.results.matrix_text import read_matrix

PERFORMANCE = "100 50\n.9 .4\n.9 .4\n.9 .8\n.9 .8\n"
NUM_PARAMS = "90 81\n100 100\n90 80\n80 60\n"
EFFICIENCY = "1 4\n2 6\n2 6\n1 2\n"
TEXTS = {"performance": PERFORMANCE, "num_params": NUM_PARAMS, "efficiency": EFFICIENCY}


def written(folder, name, text=None):
    """A small matrix of the kind that the name says."""
    path = folder / name
    kind = next((kind for kind in TEXTS if kind in name.lower()), "performance")
    path.write_text(TEXTS[kind] if text is None else text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Alexnet_structured_conv_0.1_performance.txt", ("alexnet", "structured", "l2", "conv")),
        ("Alexnet_structured_num_params.txt", ("alexnet", "structured", "l2", None)),
        ("Alexnet_unstructured_l1_performance.txt", ("alexnet", "unstructured", "l1", None)),
        ("Alexnet_unstructured_random_performance.txt", ("alexnet", "unstructured", "random", None)),
        ("Alexnet_unstructured_single_iter_performance.txt", ("alexnet", "unstructured", "l1", "single iter")),
        ("BERT_unstructured_0.3_performance.txt", ("bert", "unstructured", "l1", None)),
        ("resnet18_structured_performance.txt", ("resnet18", "structured", "l2", None)),
        ("VGG16_UNSTRUCTURED_Random_Performance.TXT", ("vgg16", "unstructured", "random", None)),
        ("my_small_net_structured_l1_num_params.txt", ("my_small_net", "structured", "l1", None)),
        ("resnet18_none_performance.txt", ("resnet18", "none", "l1", None)),
    ],
)
def test_a_name_tells_model_method_criterion_and_variant(name, told, tmp_path):
    settings = read_matrix(written(tmp_path, name)).settings
    assert tuple(settings[name] for name in ("model", "method", "criterion", "variant")) == told


@pytest.mark.parametrize(
    ("name", "left", "backend", "criterion"),
    [
        ("Alexnet_structured_53.14_efficiency.txt", 0.5314, "eager", "l2"),
        ("Alexnet_structured_conv_0.1_90.00_efficiency.txt", 0.9, "eager", "l2"),
        ("resnet18_unstructured_random_0.0123_efficiency.txt", 0.000123, "eager", "random"),
        ("resnet18_structured_81.00_onnxruntime_efficiency.txt", 0.81, "onnxruntime", "l2"),
        ("resnet18_structured_81.00_channels_last_efficiency.txt", 0.81, "channels_last", "l2"),
        ("resnet18_structured_81.00_openvino_bf16_efficiency.txt", 0.81, "openvino, bf16", "l2"),
        ("resnet18_structured_81.00_bf16_efficiency.txt", 0.81, "eager, bf16", "l2"),
        ("resnet18_structured_81.00_onnxruntime_int8_efficiency.txt", 0.81, "onnxruntime, int8", "l2"),
        ("resnet18_structured_1e-05_efficiency.txt", 1e-7, "eager", "l2"),
    ],
)
def test_the_name_of_timings_tells_what_is_left_and_the_engine(name, left, backend, criterion, tmp_path):
    file = read_matrix(written(tmp_path, name))
    assert file.left == pytest.approx(left)
    assert file.backend == backend
    assert file.settings["criterion"] == criterion
    assert file.settings["variant"] in (None, "conv")


def test_lines_at_the_top_tell_more_than_the_name(tmp_path):
    head = "# run: net-structured-01\n# dataset: digits\n# settings: model=a folder/net.py:build dataset=digits seed=3 "
    head += "model_arg=['stem=small'] augment=False lr=0.001 include=['a', 'b'] method=structured fraction=0.1\n"
    file = read_matrix(written(tmp_path, "net_unstructured_performance.txt", head + PERFORMANCE))
    assert file.run == "net-structured-01"
    assert file.settings == {
        **{"model": "net.py:build", "dataset": "digits", "seed": 3, "augment": False, "lr": 0.001},
        **{"model_arg": ["stem=small"], "include": ["a", "b"], "method": "structured", "fraction": 0.1},
    }
    assert "seed" not in file.without_seed
    np.testing.assert_allclose(file.rows[:, 1], [50, 0.4, 0.4, 0.8, 0.8])


@pytest.mark.parametrize(("stem", "told"), [("standard", {}), ("small", {"model_arg": ["stem=small"]}), (None, {})])
def test_the_stem_of_older_versions_is_an_argument_of_the_model(stem, told, tmp_path):
    word = f" stem={stem}" if stem else ""
    head = f"# settings: model=resnet18 weights=none{word} image_size=32 method=structured\n"
    file = read_matrix(written(tmp_path, "resnet18_structured_performance.txt", head + PERFORMANCE))
    rest = {"model": "resnet18", "weights": "none", "image_size": 32, "method": "structured"}
    assert file.settings == {**rest, **told}


def test_how_text_files_were_read_is_read_back(tmp_path):
    told = "text_column=['the title', '3'] label_column=1 header=False encoding=cp1252"
    file = read_matrix(
        written(tmp_path, "net_structured_performance.txt", f"# settings: model=net {told}\n{PERFORMANCE}")
    )
    reading = {"text_column": ["the title", "3"], "label_column": "1", "header": False, "encoding": "cp1252"}
    assert {name: file.settings[name] for name in reading} == reading


REFERENCE = Path(__file__).parents[2] / "performance" / "reference"


def test_what_an_older_version_has_written_is_read_setting_by_setting():
    files = [read_matrix(path) for path in sorted(REFERENCE.rglob("*.txt"))]
    assert len(files) > 150
    for file in files:
        assert "stem=standard" in file.head["settings"]
        assert (file.settings["weights"], file.settings["dataset"]) == ("none", file.head["dataset"])
        assert file.settings.keys() <= set(deciding("training", "pruning")) - {"model_arg"}
        assert not any(" " in value for value in file.settings.values() if isinstance(value, str))


@pytest.mark.parametrize("value", ["none", "a b", "['a'", "['a', 1]", "3", "['a'].b", "{[]: 1}", "-" * 9999 + "1"])
def test_a_list_that_is_none_stays_as_it_is_written(value, tmp_path):
    head = f"# settings: model=net include={value} method=structured\n"
    file = read_matrix(written(tmp_path, "net_structured_performance.txt", head + PERFORMANCE))
    assert file.settings["include"] == value


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a_structured_performance.txt", "", "has 5 rows, this has 0"),
        ("a_structured_performance.txt", "# nothing\n", "has 5 rows, this has 0"),
        ("a_structured_performance.txt", EFFICIENCY, "has 5 rows, this has 4"),
        ("a_structured_performance.txt", PERFORMANCE.replace(".8\n.9", "nan\n.9"), "column 2 holds 50 0.4 0.4 nan"),
        ("a_structured_performance.txt", PERFORMANCE.replace(".4", "40"), "column 2 holds"),
        ("a_structured_performance.txt", PERFORMANCE.replace("50", "0"), "column 2 holds 0 "),
        ("a_structured_performance.txt", PERFORMANCE.replace("100 50", "100 50 25"), "damaged"),
        ("a_structured_performance.txt", "Dear reader,\n", "damaged"),
        ("a_structured_num_params.txt", NUM_PARAMS.replace("80 60", "80 600"), "column 2 holds"),
        ("a_structured_9.0_efficiency.txt", EFFICIENCY.replace("1 4", "1 4.5"), "column 2 holds"),
        ("a_structured_9.0_efficiency.txt", EFFICIENCY.replace("1 2\n", "0 2\n"), "column 1 holds"),
        ("a_structured_efficiency.txt", EFFICIENCY, "how many percent"),
        ("notes.txt", "Dear reader,\n", "its name is not that of a matrix"),
        ("a_structured_performance.csv", PERFORMANCE, "its name is not that of a matrix"),
        ("a_performance.txt", PERFORMANCE, "its name is not that of a matrix"),
    ],
)
def test_what_is_no_matrix_is_refused_with_a_reason(name, text, said, tmp_path):
    path = written(tmp_path, name, text)
    with pytest.raises(DataError) as error:
        read_matrix(path)
    assert said in str(error.value)
    assert str(path) in str(error.value)


def test_bytes_that_are_no_text_and_missing_files_are_refused(tmp_path):
    (tmp_path / "a_none_performance.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read"):
        read_matrix(tmp_path / "a_none_performance.txt")
    with pytest.raises(DataError, match="no such file"):
        read_matrix(tmp_path / "b_none_performance.txt")
