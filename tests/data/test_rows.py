"""Rows come with the line on which they begin, and what is no row says so."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.data.rows import read
from prunebench.errors import ConfigError, DataError

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff"), max_size=12)
HEAD = "text,label\nfine,1\n"


def table(tmp_path, text, name="train.csv", **how):
    (tmp_path / name).write_bytes(text.encode())
    return read(tmp_path / name, **how)


def faults(table):
    return {row.line: row.fault for row in table.rows if row.fault}


@given(st.lists(st.tuples(CELLS, CELLS.filter(str.strip)), min_size=1, max_size=8))
def test_what_is_written_by_csv_is_read_with_the_lines_where_it_lies(tmp_path_factory, cells):
    file = io.StringIO(newline="")
    writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(["text", "label"])
    starts = []
    for row in cells:
        starts.append(len(io.StringIO(file.getvalue(), newline="").readlines()) + 1)
        writer.writerow(row)
    found = table(tmp_path_factory.mktemp("rows"), file.getvalue())
    assert [tuple(row.fields) for row in found.rows] == cells
    assert [row.line for row in found.rows] == starts
    assert faults(found) == {}


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("slow, dull,0", "3 fields under 2 columns (text, label): 'slow, dull,0'. Put a text that holds commas into"),
        ("a,b,c,d", "4 fields under 2 columns"),
        ("dull", "1 field under 2 columns (text, label): 'dull'. Complete the row or leave it out."),
        ("dull,0,", "3 fields under 2 columns"),
    ],
)
def test_too_many_or_too_few_fields_are_told_with_the_line(tmp_path, row, told):
    found = faults(table(tmp_path, f'{HEAD}\n"two\nlines",0\n{row}\nfine,1\n'))
    assert [*found] == [6]
    assert found[6].startswith(told)


def test_a_tab_inside_a_text_is_one_field_too_many_and_quotes_are_part_of_texts(tmp_path):
    found = table(tmp_path, 'text\tlabel\na "b\t1\na\tb\t0\n', "train.tsv")
    assert found.rows[0].fields == ['a "b', "1"]
    assert faults(found)[3].startswith(r"3 fields under 2 columns (text, label): 'a\tb\t0'. Put a space for a tab")


@pytest.mark.parametrize(
    ("rows", "line", "told"),
    [
        ('"open,1\ndull,0\n', 3, "the quote that opens in this line is never closed: '\"open,1"),
        ('"open,1\ndull,0\n"dull",0\n', 3, "is closed in line 5 before the field ends"),
        ('"two\nlines","open\ndull,0\n', 4, "never closed"),
        ('"a "fine" film",1\n', 3, 'the quote that opens in this line is closed before the field ends: \'"a "fine'),
        ('"doubled "" twice"" , open,1\ndull,0', 3, "never closed"),
    ],
)
def test_a_quote_left_open_is_told_with_the_line_where_it_began(tmp_path, rows, line, told):
    with pytest.raises(DataError) as caught:
        table(tmp_path, HEAD + rows)
    assert str(caught.value).startswith(f"{tmp_path / 'train.csv'}:{line}: the quote that opens in this line ")
    assert told in str(caught.value)


@pytest.mark.parametrize("name", ["train.csv", "train.tsv", "train.jsonl"])
def test_fields_of_any_size_are_read_and_the_limit_of_csv_stays(tmp_path, name):
    long = "w " * 200_000 + "w"
    mark = "\t" if name == "train.tsv" else ","
    text = json.dumps({"text": long, "label": 1}) if name == "train.jsonl" else f"text{mark}label\n{long}{mark}1\n"
    limit = csv.field_size_limit()
    (row,) = table(tmp_path, text, name).rows
    assert (row.fields["text"] if isinstance(row.fields, dict) else row.fields[0]) == long
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('["dull", 0]', "each line must be a JSON object"),
        ('{"text": "dull"', "cannot be read as JSON: Expecting ',' delimiter at character 16"),
        ('{"label": ' + "9" * 5000 + "}", "cannot be read as JSON: Exceeds the limit"),
        ("[" * 100_000, "cannot be read as JSON: maximum recursion depth"),
        ('{"text": "a", "label": 0, "label": 1}', "names 'label' twice"),
        (r'{"text": "a \ud83d", "label": 0}', "holds half of a character (a lone surrogate)"),
    ],
)
def test_a_line_that_is_no_object_is_told(tmp_path, line, told):
    found = faults(table(tmp_path, f'\n{{"text": "fine", "label": 1}}\n\n{line}\n', "train.jsonl"))
    assert [*found] == [4]
    assert found[4].startswith(told)


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("thing", [[{"text": "fine", "label": 1}], {"data": [{"text": "fine", "label": 1}]}])
def test_json_as_a_whole_is_no_jsonl(tmp_path, thing, indent):
    if indent is None and isinstance(thing, dict):
        assert table(tmp_path, json.dumps(thing), "train.jsonl").columns == ("data",)  # on one line it is a row
    else:
        with pytest.raises(DataError, match=r"train\.jsonl is JSON as a whole; a \.jsonl has an object a line"):
            table(tmp_path, json.dumps(thing, indent=indent), "train.jsonl")


def test_a_whole_character_that_is_written_in_two_halves_is_one(tmp_path):
    (row,) = table(tmp_path, r'{"text": "\ud83d\ude00", "label": 0}', "train.jsonl").rows
    assert (row.fields["text"], row.fault) == ("😀", "")


def test_without_a_header_columns_are_numbers_and_rows_have_as_many_as_the_first(tmp_path):
    found = table(tmp_path, '"3","Title","A ""b"" c"\n"4","Title"\n', header=False)
    assert found.columns == ("1", "2", "3")
    assert found.rows[0].fields == ["3", "Title", 'A "b" c']
    assert faults(found) == {2: "2 fields where the first row has 3: '4,Title'. Complete the row or leave it out."}


def test_a_jsonl_without_a_header_is_refused_since_it_has_none(tmp_path):
    with pytest.raises(ConfigError, match=r"--no-header: train\.jsonl has none"):
        table(tmp_path, '{"text": "a", "label": 1}', "train.jsonl", header=False)
