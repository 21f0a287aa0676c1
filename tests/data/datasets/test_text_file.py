import gzip
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.data.checking import checked
from prunebench.data.datasets.text_file import files, load, read_pair
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
    dataset = load(folder, trust_data=True)
    assert dataset.classes == [str(label) for label in sorted(set(labels))]
    assert [int(dataset.classes[label]) for label in dataset.test.labels] == labels


SAMPLES = [(f"film {i}", i % 2) for i in range(12)]
LINES = as_csv(SAMPLES) + "\n"


def written(folder, **files):
    """A folder of files, `train_csv` as train.csv; the test file is a good one unless given."""
    if not any(name.startswith(("test", "dev", "val")) for name in files):
        files |= {"test_csv": LINES}
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.encode()
        (folder / name.replace("_", ".")).write_bytes(data)
    return folder


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "train.csv",
            "text,stars\nfine,5",
            "train.csv:1: needs a column label; has: text, stars. Name yours with --label-column, or",
        ),
        ("train.csv", "text,label\nfine", "train.csv:2: 1 field under 2 columns"),
        ("train.tsv", "sentence\tlabel\nfine\t1\n\ndull", "train.tsv:4: 1 field under 2 columns"),
        ("train.jsonl", '{"text": "fine", "label": 1}\n["dull", 0]', "train.jsonl:2: each line must be a JSON object"),
        ("train.jsonl", '{"text": "fine"', "train.jsonl:1: cannot be read"),
        ("train.jsonl", '\n\n{"text": "fine"', "train.jsonl:3: cannot be read"),
        ("train.csv", b"text,label\n\xff\xfe,1", "train.csv:2: byte 0xFF is not UTF-8"),
        ("train.csv", LINES + "slow, dull,0", "train.csv:14: 3 fields under 2 columns (text, label): 'slow, dull,0'"),
        ("train.csv", LINES + "unlabelled,", "train.csv:14: the label is empty: 'unlabelled, '. Complete the row, or"),
        ("train.csv", LINES + ",1", "train.csv:14: the text is empty (insist with --trust-data)"),
        ("train.csv", LINES + "nan,1", "train.csv:14: the text is nan, which stands for none (insist"),
        ("train.csv", LINES + '"a\nb",1\nx,NaN', "train.csv:16: the label is NaN, which stands for none"),
        ("train.csv", LINES + '"open,1\nx,0', "train.csv:14: the quote that opens in this line is never closed"),
        (
            "train.csv",
            "text;label\na;1",
            "train.csv:1: needs a column text (or sentence) and a column label; has: text;label. ",
        ),
        ("train.csv", LINES + "text,label", "train.csv:14: this row repeats the header"),
        ("train.csv", LINES + "dull,0.5", "train.csv:14: the label '0.5' is no whole number"),
        ("train.csv", "", "train.csv holds no rows: the train split is empty"),
        ("train.jsonl", '{"text": "x", "label": null}', "train.jsonl:1: the label is null: "),
        ("train.jsonl", '{"text": "x", "label": NaN}', "train.jsonl:1: the label is NaN or infinite: "),
        (
            "train.jsonl",
            '{"text": "x", "label": [1]}',
            "train.jsonl:1: the label is a list, but a sample has one class: ",
        ),
        ("train.jsonl", '{"text": null, "label": 1}', "train.jsonl:1: text is null instead of a text: "),
        ("train.jsonl", '{"text": ["x"], "label": 1}', "train.jsonl:1: text is a list instead of a text: "),
        ("train.jsonl", '{"text": true, "label": 1}', "train.jsonl:1: text is a truth value instead of a text: "),
        ("train.jsonl", '{"text": "x", "label": 1}\n{"text": "x"}', "train.jsonl:2: has no label: "),
        ("train.jsonl", '{"text": "x", "label": 1}\n{"label": 1}', "train.jsonl:2: has no text: "),
    ],
)
def test_a_malformed_line_is_named(tmp_path, name, text, message):
    written(tmp_path, **{name.replace(".", "_"): text})
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    assert str(caught.value).startswith(str(tmp_path / message.partition(" ")[0]))
    assert message in str(caught.value)


def test_all_rows_at_fault_are_named_by_their_lines(tmp_path):
    bad = LINES + "a,b,1\nfine,1\nc,\n" + "d\n" * 11
    with pytest.raises(DataError) as caught:
        load(written(tmp_path, train_csv=bad))
    assert str(caught.value).startswith(f"{tmp_path / 'train.csv'}:14: 3 fields")
    assert str(caught.value).endswith("Other rows at fault: lines 16, 17, 18, 19, 20, 21, 22, 23, 24, 25 and 2 more.")


@given(st.sampled_from(["", "\n", "a text, ", "so so "]), st.booleans())
def test_a_quote_that_swallows_rows_is_asked_about_and_a_text_of_several_lines_is_not(tmp_path_factory, start, whole):
    inside = "dull,0\nfine" if whole else "dull\n, fine, 0 of 5"
    text = f'{LINES}"{start}{inside}",1\n'
    folder = written(tmp_path_factory.mktemp("quotes"), train_csv=text)
    if whole:
        with pytest.raises(DataError, match=r"train\.csv:14: a quote opens in this row and closes in line 1[56], past"):
            load(folder)
    assert load(folder, trust_data=True).train.inputs[-1] == f"{start}{inside}".replace('""', '"')


@pytest.mark.parametrize("suffix", FORMATS)
def test_whole_numbers_with_a_point_are_the_same_classes_and_that_is_said(tmp_path, suffix):
    rows = [(text, f"{label}.0") for text, label in SAMPLES[:5]] + SAMPLES[5:]
    written(tmp_path, **{f"train{suffix}": FORMATS[suffix](rows), f"test{suffix}": FORMATS[suffix](SAMPLES)})
    dataset = load(tmp_path)
    assert dataset.classes == ["0", "1"]
    assert dataset.train.labels == dataset.test.labels
    assert dataset.notes == (
        f"train{suffix}: labels written with a point, such as 1.0, that are read as whole numbers: 5",
    )


def test_texts_that_were_lost_or_garbled_before_they_were_written_are_told(tmp_path):
    good = [(f"{text} à la crème", label) for text, label in SAMPLES]
    twice = "un été".encode().decode("cp1252"), "À Á".encode().decode("latin-1")
    bad = [("un \ufffdt\ufffd", "0"), *((text, "1") for text in twice)]
    written(tmp_path, train_csv=as_csv(good), test_csv=as_csv(good + bad))
    assert load(tmp_path).notes == (
        "test.csv: texts in which letters were lost when they were converted (U+FFFD stands for each): 1",
        "test.csv: texts that are UTF-8 twice, as when it was read as another encoding once: 2, such as 'un Ã©tÃ©', "
        "which was 'un été'",
    )


def test_what_is_asked_about_is_taken_on_trust_and_told(tmp_path, caplog):
    written(
        tmp_path, train_csv=as_csv([(f"film {i}", f"class {i}") for i in range(9)]), test_csv=as_csv([("a", "class 3")])
    )
    with pytest.raises(
        DataError, match=r"train\.csv:2: 9 of 9 classes .* insist with --trust-data; .* --label-column\."
    ):
        load(tmp_path)
    with caplog.at_level("INFO", "prunebench"):
        dataset = load(tmp_path, trust_data=True)
    assert len(dataset.classes) == 9
    (note,) = dataset.notes
    assert note.startswith("taken on trust: train.csv:2: 9 of 9 classes have a single sample")
    assert caplog.messages == []  # notes are told once, by the summary


def test_on_trust_empty_texts_and_words_for_nothing_are_what_they_are(tmp_path):
    dataset = load(written(tmp_path, train_csv=LINES + ",1\nNA,0\na,NA\nb,NA\n"), trust_data=True)
    assert dataset.train.inputs[-4:] == ["", "NA", "a", "b"]
    assert dataset.classes == ["0", "1", "NA"]
    assert dataset.notes == (
        "train.csv: texts that are empty or stand for none, taken on trust: 2",
        "train.csv: labels that stand for none, taken on trust: 2",
    )


def test_an_encoding_that_is_taken_on_trust_is_told(tmp_path):
    written(tmp_path, train_csv=(LINES + "“fine”,1\n").encode("cp1252"))
    dataset = load(tmp_path, encoding="latin-1", trust_data=True)
    assert dataset.notes == (
        "taken on trust: train.csv:14: read as latin-1, but is likely cp1252, in which it reads '“fine”,1', not "
        r"'\x93fine\x94,1'",
    )


AG = [(str(i % 4 + 1), f"Title {i}, with a comma", f'Reuters - "quoted" \\ {i}') for i in range(16)]


def test_ag_news_loads_as_it_is_published(tmp_path):
    lines = "".join(",".join('"' + part.replace('"', '""') + '"' for part in row) + "\n" for row in AG)
    written(tmp_path, train_csv=lines, test_csv=lines)
    dataset = load(tmp_path, header=False, label_column="1", text_column=("2", "3"))
    assert dataset.classes == ["1", "2", "3", "4"]
    assert dataset.train.labels == [i % 4 for i in range(16)]
    assert dataset.train.inputs == [f"{title} {body}" for _, title, body in AG]
    assert dataset.notes == ("train.csv, test.csv: columns 2, 3 are joined to a text",)
    with pytest.raises(DataError, match=r"train\.csv:1: needs a column .* or give --no-header with their numbers"):
        load(tmp_path)
    with pytest.raises(
        DataError, match="--no-header needs --text-column and --label-column as numbers; the first row is"
    ):
        load(tmp_path, header=False)


def test_film_reviews_in_cp1252_load_by_options_alone(tmp_path):
    lines = "".join(f"it 's a café movie – {i}\t{'pos' if i % 2 else 'neg'}\n" for i in range(8))
    written(tmp_path, train_tsv=lines.encode("cp1252"), test_tsv=lines.encode("cp1252"))
    how = {"header": False, "text_column": ("1",), "label_column": "2"}
    with pytest.raises(DataError, match=r"train\.tsv:1: byte 0xE9 is not UTF-8\. .* give --encoding cp1252"):
        load(tmp_path, **how)
    dataset = load(tmp_path, **how, encoding="cp1252")
    assert dataset.train.inputs[0] == "it 's a café movie – 0"
    assert dataset.classes == ["neg", "pos"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_gzip_files_are_read_as_what_is_in_them(tmp_path, suffix):
    packed = gzip.compress(FORMATS[suffix](ROWS).encode())
    written(tmp_path, **{f"train{suffix}.gz": packed, f"test{suffix}.gz": packed})
    assert [path.name for path in files(tmp_path)] == [f"train{suffix}.gz", f"test{suffix}.gz"]
    assert load(tmp_path).train.inputs == [text for text, _ in ROWS]


def test_columns_have_names_or_numbers_and_the_others_are_told(tmp_path):
    rows = "id,Review,Stars\n" + "".join(f"{i},film {i},{i % 2}\n" for i in range(9))
    written(tmp_path, train_csv=rows, test_csv=rows)
    by_name = load(tmp_path, text_column=("Review",), label_column="Stars")
    by_number = load(tmp_path, text_column=("2",), label_column="3")
    assert by_name == by_number
    assert by_name.notes == ("train.csv, test.csv: columns that are not read: id",)
    assert load(tmp_path, text_column=("Review", "id"), label_column="3").train.inputs[2] == "film 2 2"


@pytest.mark.parametrize(
    ("text", "label", "told"),
    [
        ("review", "Stars", "train.csv:1: there is no column 'review'; it has: Review, Stars. Did you mean 'Review'?"),
        ("3", "Stars", "there is no column '3'; it has: Review, Stars."),
        ("0", "Stars", "there is no column '0'"),
        ("9" * 5000, "Stars", "there is no column '9"),
        ("Stars", "Stars", "name one column twice"),
        ("Stars", "2", "name one column twice"),
    ],
)
def test_a_column_that_is_not_there_or_both_is_refused(tmp_path, text, label, told):
    written(tmp_path, train_csv="Review,Stars\na,1\n")
    with pytest.raises(DataError, match=re.escape(told)):
        load(tmp_path, text_column=(text,), label_column=label)


def test_two_columns_of_one_name_are_told_apart_by_number_alone(tmp_path):
    rows = "text,label,label\na,0,1\nb,1,0\n"
    written(tmp_path, train_csv=rows, test_csv=rows)
    with pytest.raises(DataError, match=r"train\.csv:1: several columns are called 'label'; give the number of one"):
        load(tmp_path)
    assert load(tmp_path, label_column="3").train.labels == [1, 0]


def test_a_number_means_the_same_column_in_both_files(tmp_path):
    written(tmp_path, train_csv=LINES, test_csv="label,text\n1,a\n")
    with pytest.raises(
        DataError, match=r"test\.csv:1: the columns that were asked for are label, text here, and text, lab"
    ):
        load(tmp_path, text_column=("1",), label_column="2")
    assert load(tmp_path).test.inputs == ["a"]


def test_a_header_is_not_taken_for_a_sample(tmp_path):
    with pytest.raises(
        DataError, match=r"train\.csv:1: the label 'label' looks like a header's: leave out --no-header"
    ):
        load(written(tmp_path, train_csv=LINES), header=False, text_column=("1",), label_column="2")


def test_a_sample_is_not_taken_for_a_header(tmp_path):
    rows = LINES.partition("\n")[2]
    written(tmp_path, train_csv=rows, test_csv=rows)
    with pytest.raises(
        DataError, match=r"train\.csv:1: the first row names .* but its '0' is the label of 5 rows below,"
    ):
        load(tmp_path, text_column=("1",), label_column="2")
    assert len(load(tmp_path, text_column=("1",), label_column="2", header=False).train) == 12
    dataset = load(tmp_path, text_column=("1",), label_column="2", trust_data=True)
    assert len(dataset.train) == 11
    assert dataset.notes[0].startswith("taken on trust: train.csv:1: the first row names the columns")


def test_files_that_are_not_read_are_told_and_an_unlabelled_test_file_beside_a_labelled_one(tmp_path):
    tabs = as_tsv(SAMPLES)
    written(tmp_path, train_csv=LINES, train_tsv=tabs, dev_tsv=tabs)
    assert load(tmp_path).notes == ("train.csv beside train.tsv is not read", "the test set is dev.tsv")
    written(tmp_path, test_tsv="index\tsentence\n0\tdull\n")
    with pytest.raises(
        DataError, match=r"test\.tsv:1: needs a column .* To test on dev\.tsv beside it, move test\.tsv"
    ):
        load(tmp_path)


def test_a_file_whose_name_is_written_otherwise_is_told(tmp_path):
    with pytest.raises(DataError, match=r"has no train.*; it has Train\.csv: rename that to train\.csv\."):
        load(written(tmp_path, Train_csv=LINES))


def test_a_folder_that_is_none_is_told(tmp_path):
    with pytest.raises(DataError, match=r"nosuch does not exist: give the folder that holds the data with --data-dir"):
        load(tmp_path / "nosuch")
    place = written(tmp_path, train_csv=LINES)
    with pytest.raises(DataError, match=rf"train\.csv is a file: give the folder that it is in, --data-dir {place}\."):
        load(place / "train.csv")


def test_only_the_column_that_is_missing_is_asked_for(tmp_path):
    lines = "id,review,sentiment\n1,a film,pos\n"
    place = written(tmp_path, train_csv=lines, test_csv=lines)
    with pytest.raises(
        DataError, match=r"1: needs a column label; has: id, .* Name yours with --label-column, or give"
    ):
        load(place, text_column=("review",))
    with pytest.raises(
        DataError, match=r"1: needs a column text \(or sentence\); has: .* Name yours with --text-column,"
    ):
        load(place, label_column="sentiment")


def test_labels_of_test_data_that_are_written_otherwise_are_told(tmp_path):
    test = as_tsv([(text, {0: "Pos", 1: "neg"}[label]) for text, label in SAMPLES])
    train = test.replace("Pos", "pos")
    with pytest.raises(DataError, match=r"'Pos' differs from 'pos' only in how it is written: write both alike\."):
        load(written(tmp_path, train_tsv=train, test_tsv=test))


def test_truth_values_of_json_are_told_as_they_are_written(tmp_path):
    lines = "".join(f'{{"text": "film {i}", "label": {["true", "false", "1", "0"][i % 4]}}}\n' for i in range(12))
    place = written(tmp_path, train_jsonl=lines, test_jsonl=lines)
    with pytest.raises(DataError, match=r"the label '(0|true)' .* and each label is a class of its own"):
        load(place)
    assert load(place, trust_data=True).classes == ["0", "1", "true", "false"]


@pytest.mark.parametrize("number", [2012, 10**1000])
def test_numbers_as_texts_in_json_are_told(tmp_path, number):
    lines = as_jsonl([*SAMPLES, (number, 1)])
    dataset = load(written(tmp_path, train_jsonl=lines, test_jsonl=as_jsonl(SAMPLES)))
    assert dataset.train.inputs[-1] == str(number)
    assert dataset.notes == ("train.jsonl: numbers that are read as texts: 1",)


def test_quotes_in_a_tsv_are_part_of_texts_and_that_is_told(tmp_path):
    dataset = load(written(tmp_path, train_tsv=as_tsv([(f'"{text}"', label) for text, label in SAMPLES])))
    assert dataset.train.inputs[0] == '"film 0"'
    assert dataset.notes == ("train.tsv: quotes around texts are part of them, since a .tsv is read without quoting",)


def test_quotes_in_a_tsv_around_labels_and_names_are_told_too(tmp_path):
    quoted = as_tsv([(f'"{text}"', f'"{label}"') for text, label in SAMPLES])
    dataset = load(written(tmp_path, train_tsv=quoted, test_tsv=quoted))
    assert dataset.notes[0].startswith("train.tsv, test.tsv: quotes around texts and labels are part of them")
    with pytest.raises(
        DataError, match=r'has: "sentence", "label"\. Quotes are part of names, .*: save it with commas'
    ):
        load(written(tmp_path, train_tsv=as_tsv(SAMPLES, '"sentence"\t"label"')))


def test_clean_files_have_nothing_to_tell(tmp_path):
    assert load(written(tmp_path, train_csv=LINES)).notes == ()


def test_a_missing_file_is_named_with_every_suffix(tmp_path):
    with pytest.raises(DataError, match=r"has no train\.tsv or train\.csv or train\.jsonl; point --data-dir"):
        load(tmp_path)
    (tmp_path / "train.csv").write_text(as_csv(ROWS))
    (tmp_path / "TEST.csv.bz2").write_bytes(b"")
    (tmp_path / "test.json").write_bytes(b"")
    with pytest.raises(
        DataError, match=r"has no test\.tsv or test\.csv or test\.jsonl; it has TEST\.csv\.bz2, test\.json: c"
    ):
        load(tmp_path)


def test_a_label_that_train_lacks_is_refused(tmp_path):
    (tmp_path / "train.csv").write_text(as_csv(ROWS[:2]))
    (tmp_path / "test.csv").write_text(as_csv(ROWS))
    with pytest.raises(DataError, match=r"test\.csv has labels that train\.csv has not: bad\. See line 4\.$"):
        load(tmp_path)


def test_a_label_of_minus_one_is_told_to_mean_none(tmp_path):
    with pytest.raises(
        DataError, match=r"has not: -1\. See lines 2, 3, .* and 2 more\. A label of -1 marks samples without"
    ):
        load(written(tmp_path, train_csv=LINES, test_csv=as_csv([(text, -1) for text, _ in SAMPLES])))


def test_a_file_without_sentences_is_an_empty_split(tmp_path):
    (tmp_path / "train.csv").write_text(as_csv([]))
    with pytest.raises(DataError, match="the train split is empty"):
        checked(read_pair(tmp_path / "train.csv", tmp_path / "train.csv"), "text-file")
