import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.data.dataset import checked
from prunebench.data.datasets.text_file import load, read_pair
from prunebench.errors import DataError

ROWS = [("a warm film", "good"), ('it is "fine", really', "good"), ("dull", "bad")]


def as_csv(rows, header="text,label"):
    return "\n".join([header, *(f'"{text.replace(chr(34), chr(34) * 2)}",{label}' for text, label in rows)])


def as_tsv(rows, header="sentence\tlabel"):
    return "\n".join([header, *(f"{text}\t{label}" for text, label in rows)])


def as_jsonl(rows):
    return "\n".join(json.dumps({"text": text, "label": label}) for text, label in rows)


FORMATS = {".csv": as_csv, ".tsv": as_tsv, ".jsonl": as_jsonl}


@pytest.mark.parametrize("test", ["test", "dev", "val"])
@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_gives_the_same_sentences(tmp_path, suffix, test):
    (tmp_path / f"train{suffix}").write_text(FORMATS[suffix](ROWS))
    (tmp_path / f"{test}{suffix}").write_text(FORMATS[suffix](ROWS[:1]))
    dataset = checked(load(tmp_path), "text-file")
    assert dataset.kind == "text"
    assert dataset.classes == ["bad", "good"]
    assert dataset.train.inputs == [text for text, _ in ROWS]
    assert dataset.train.labels.tolist() == [1, 1, 0]
    assert dataset.test.labels.tolist() == [1]


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path, suffix):
    for name in ("train", "test"):
        (tmp_path / f"{name}{suffix}").write_text(FORMATS[suffix](ROWS), encoding="utf-8-sig")
    assert load(tmp_path).train.inputs[0] == "a warm film"


@pytest.mark.parametrize("blank", ["", "  ", "\t"])
def test_blank_lines_hold_nothing(tmp_path, blank):
    lines = as_jsonl(ROWS).split("\n")
    for name in ("train", "test"):
        (tmp_path / f"{name}.jsonl").write_text(f"\n{blank}\n".join([blank, *lines, ""]))
    assert load(tmp_path).train.inputs == [text for text, _ in ROWS]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=20))
def test_numbers_keep_their_order_as_classes(tmp_path_factory, labels):
    folder = tmp_path_factory.mktemp("numbers")
    for name in ("train", "test"):
        (folder / f"{name}.jsonl").write_text(as_jsonl([("so so", label) for label in labels]))
    dataset = load(folder)
    assert dataset.classes == [str(label) for label in sorted(set(labels))]
    assert [int(dataset.classes[label]) for label in dataset.test.labels] == labels


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "train.csv",
            "text,stars\nfine,5",
            "train.csv:2: needs a column text (or sentence) and a column label; has:",
        ),
        ("train.csv", "text,label\nfine", "train.csv:2: needs a column"),
        ("train.tsv", "sentence\tlabel\nfine\t1\n\ndull", "train.tsv:4: needs a column"),
        ("train.jsonl", '{"text": "fine", "label": 1}\n["dull", 0]', "train.jsonl:2: each line must be a JSON object"),
        ("train.jsonl", '{"text": "fine"', "train.jsonl:1: cannot be read"),
        ("train.jsonl", '\n\n{"text": "fine"', "train.jsonl:3: cannot be read"),
        ("train.csv", b"text,label\n\xff\xfe,1", "train.csv cannot be read"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, name, text, message):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    (tmp_path / "test.csv").write_text(as_csv(ROWS))
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    assert str(caught.value).startswith(str(tmp_path / message.partition(" ")[0]))
    assert message in str(caught.value)


def test_a_missing_file_is_named_with_every_suffix(tmp_path):
    with pytest.raises(DataError, match=r"has no train\.tsv or train\.csv or train\.jsonl; point --data-dir"):
        load(tmp_path)
    (tmp_path / "train.csv").write_text(as_csv(ROWS))
    with pytest.raises(DataError, match=r"has no test\.tsv or test\.csv or test\.jsonl"):
        load(tmp_path)


def test_a_label_that_train_lacks_is_refused(tmp_path):
    (tmp_path / "train.csv").write_text(as_csv(ROWS[:2]))
    (tmp_path / "test.csv").write_text(as_csv(ROWS))
    with pytest.raises(DataError, match=r"test\.csv has labels that train\.csv has not: bad\."):
        load(tmp_path)


def test_a_file_without_sentences_is_an_empty_split(tmp_path):
    (tmp_path / "train.csv").write_text(as_csv([]))
    with pytest.raises(DataError, match="the train split is empty"):
        checked(read_pair(tmp_path / "train.csv", tmp_path / "train.csv"), "text-file")
