"""What a file's bytes are: read, or told with the line, what they likely are, and the option."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.data.decoding import decoded, doubt, shortened
from prunebench.data.encodings import IN_PAIRS, likely
from prunebench.errors import ConfigError, DataError

ENGLISH = "text,label\n" + "".join(f"plain film {i},0\n" for i in range(9))


def refused(tmp_path, data, error=DataError, **how):
    path = tmp_path / "train.csv"
    path.write_bytes(data)
    with pytest.raises(error) as caught:
        decoded(path, **how)
    return str(caught.value).removeprefix(str(path))


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff")), st.sampled_from([".csv", ".csv.gz"]))
def test_utf8_is_read_plain_and_packed_with_and_without_a_mark(tmp_path_factory, text, suffix):
    for encoding in ("utf-8", "utf-8-sig"):
        path = tmp_path_factory.mktemp("text") / f"train{suffix}"
        data = text.encode(encoding)
        path.write_bytes(gzip.compress(data, mtime=0) if suffix.endswith(".gz") else data)
        assert decoded(path) == text


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1", "utf-8"])
def test_a_text_is_read_in_the_encoding_that_is_given(tmp_path, encoding):
    (tmp_path / "a.csv").write_bytes("un été".encode(encoding))
    assert decoded(tmp_path / "a.csv", encoding) == "un été"


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_the_line_is_right_wherever_the_byte_is_and_however_long_the_file(tmp_path, ending):
    lines = [f"plain line {i}" for i in range(20_000)]
    lines[17_123] += " café"
    told = refused(tmp_path, ending.join(lines).encode("cp1252"))
    assert told.startswith(":17124: byte 0xE9 is not UTF-8. The file is likely cp1252, in which this line reads ")
    assert "'plain line 17123 café': give --encoding cp1252" in told


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("un été à la crème, naïve", "cp1252"),
        ("un été à la crème, “naïve”", "mac_roman"),
        ("it’s a “fine” film – of sorts", "cp1252"),
        ("it’s a “fine” film – of sorts", "mac_roman"),
        ("Ärger über Öl, GROẞE? nein, Größe".replace("ẞ", "ß"), "cp1252"),
        ("źdźbło, które żółkło wśród łąk", "cp1250"),
        ("un été à la crème, naïve", "cp850"),
        ("el niño que soñó cómo volvía", "cp850"),
        ("ein größerer Käse für später", "mac_roman"),
        ("хороший фильм и прекрасная музыка", "cp1251"),
        ("хороший фильм и прекрасная музыка", "koi8_r"),
        ("Хороший фильм, и Прекрасная музыка", "cp866"),
        ("хороший фильм и прекрасная музыка", "iso8859_5"),
        ("这部电影很好看", "gb18030"),
        ("這部電影很好看", "big5"),
        ("この映画はとても面白いです", "shift_jis"),
        ("この映画はとても面白いです", "euc_jp"),
        ("이 영화는 정말 재미있다", "euc_kr"),
        ("a fine film", "utf-16-le"),
        ("a fine film", "utf-16-be"),
        ("a fine film", "utf-16"),
        ("a fine film", "utf-32"),
        ("a fine film", "utf-32-le"),
        ("a fine film", "utf-32-be"),
    ],
)
def test_what_a_file_is_likely_to_be_is_among_what_is_said_and_so_is_the_option(tmp_path, text, encoding):
    data = f"text,label\n{text},1\n".encode(encoding)
    assert encoding in likely(data)
    if encoding not in IN_PAIRS:
        assert likely(data)[0] == encoding
    assert f"give --encoding {likely(data)[0]}" in refused(tmp_path, data)


def test_a_few_broken_bytes_in_utf8_are_to_be_mended_not_read_in_another_encoding(tmp_path):
    data = ENGLISH.encode() + "café\n".encode() * 3 + b"caf\xe9\n"
    assert refused(tmp_path, data) == ":14: byte 0xE9 is not UTF-8. The rest is: mend this line."


def test_a_character_that_is_cut_off_is_no_other_encoding(tmp_path):
    data = ENGLISH.encode() + "film 😀".encode()[:-1] + b",1\n"
    assert refused(tmp_path, data) == ":11: byte 0xF0 is not UTF-8. The rest is: mend this line."


def test_utf8_is_not_misread_because_another_encoding_is_given(tmp_path):
    data = (ENGLISH + "un été,1\n").encode()
    told = refused(tmp_path, data, encoding="cp1252")
    assert told.startswith(":11: is UTF-8, in which it reads 'un été,1', not 'un Ã©tÃ©,1'. Leave --encoding cp1252 out")
    assert "Ã©" in decoded(tmp_path / "train.csv", "cp1252", trust=True)
    (tmp_path / "train.csv").write_bytes(ENGLISH.encode())
    assert decoded(tmp_path / "train.csv", "cp1252") == ENGLISH


@pytest.mark.parametrize(
    ("data", "encoding", "told"),
    [
        (ENGLISH.encode("utf-16-be"), "utf-16", ":1: is likely utf-16-be, in which it reads 'text,label', not '"),
        (ENGLISH.encode("utf-16-le"), "utf-16-be", ":1: is likely utf-16-le, in which it reads 'text,label', not '"),
        (ENGLISH.encode()[: len(ENGLISH) // 2 * 2], "utf-16-le", ":1: is UTF-8, in which it reads 'text,label', not '"),
        (ENGLISH.encode(), "cp037", ":1: is UTF-8, in which it reads 'text,label', not '"),
        ((ENGLISH + "it’s “good”\n").encode("cp1252"), "latin-1", ":11: is likely cp1252, in which it reads 'it’s “"),
        (
            (ENGLISH + "„žluť“\n").encode("cp1250"),
            "iso8859-2",
            ":11: is likely cp1250, in which it reads '„žluť“', not",
        ),
    ],
)
def test_bytes_that_decode_as_they_are_not_meant_are_asked_about(tmp_path, data, encoding, told):
    assert refused(tmp_path, data, encoding=encoding).startswith(told)
    assert decoded(tmp_path / "train.csv", encoding, trust=True) == data.decode(encoding)
    trusted = doubt(tmp_path / "train.csv", encoding)
    assert trusted.startswith(f"train.csv{told.partition(' ')[0]} read as {encoding}, but is ")


@pytest.mark.parametrize("encoding", ["utf-7", "unicode_escape", "cp1252", "latin-1", "utf-8-sig"])
def test_what_may_be_meant_is_not_asked_about(tmp_path, encoding):
    (tmp_path / "train.csv").write_bytes(ENGLISH.encode() + "Le café, “bon”".encode("unicode_escape"))
    decoded(tmp_path / "train.csv", encoding)
    assert doubt(tmp_path / "train.csv", encoding) == ""


def test_another_encoding_that_does_not_fit_either_is_told_in_the_same_way(tmp_path):
    told = refused(tmp_path, "été\n".encode(), encoding="ascii")
    assert told.startswith(
        ":1: byte 0xC3 is not ascii. The file is likely utf-8, in which this line reads 'été': leave"
    )


@pytest.mark.parametrize("encoding", ["cp-1252x", "rot13", "hex", "", "a\0b"])
def test_an_encoding_that_does_not_exist_is_refused_by_its_option(tmp_path, encoding):
    shown = encoding.replace("\0", r"\x00")  # as errors show control characters
    assert f"--encoding {shown}: there is none" in refused(tmp_path, b"a", ConfigError, encoding=encoding)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (gzip.compress(b"text", mtime=0), " is no text but gzip (name it .gz)"),
        (b"PK\x03\x04rest", " is no text but a zip archive or a workbook"),
        (b"PAR1rest", " is no text but Parquet"),
        (b"BZh91AY&SY\xff", " is no text but bzip2"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), " is no text but a workbook or document of old Office"),
        (b"SQLite format 3\0", " is no text but a SQLite database"),
        (b"\x80\x04\x95a", " is no text but a pickle"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", " is a pointer of Git LFS, not the file"),
        (b" <!DOCTYPE html>\n<html>", " is a web page. Download the file itself."),
        (ENGLISH.encode() + b"a\0b,1\n", ":11: holds a zero byte. Take it out."),
    ],
)
def test_what_is_no_text_is_called_what_it_is(tmp_path, data, told):
    assert refused(tmp_path, data).startswith(told)


@pytest.mark.parametrize(
    "data", [b"no gzip", gzip.compress(ENGLISH.encode(), mtime=0)[:40], gzip.compress(b"x", mtime=0)[:-6] + b"wrong!"]
)
def test_a_damaged_gzip_file_is_named(tmp_path, data):
    (tmp_path / "train.csv.gz").write_bytes(data)
    with pytest.raises(DataError, match=r"train\.csv\.gz is damaged, or no gzip file"):
        decoded(tmp_path / "train.csv.gz")


def test_what_is_packed_twice_is_to_be_unpacked_once(tmp_path):
    (tmp_path / "train.csv.gz").write_bytes(gzip.compress(gzip.compress(b"text", mtime=0), mtime=0))
    with pytest.raises(DataError, match=r"train\.csv\.gz is packed twice: unpack it once"):
        decoded(tmp_path / "train.csv.gz")


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv cannot be read: No such file"):
        decoded(tmp_path / "none.csv")


def test_what_is_shown_is_short_and_on_one_line():
    assert shortened("a\nb") == r"'a\nb'"
    assert len(shortened("w " * 10_000)) < 70
