"""Decoding: the text of a file, plain or .gz; where it is none, the line, what it is likely to be, and what to do."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from pathlib import Path

from prunebench.errors import ConfigError, DataError

MARKS = (
    *((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32")),
    *((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")),
)
"""Byte-order marks, and the encodings whose decoders read them."""

PACKED = {b"\x1f\x8b": "gzip (name it .gz)", b"PK\x03\x04": "a zip archive or a workbook", b"PAR1": "Parquet"}
"""First bytes of files that are no text."""

IN_PAIRS = ("gb18030", "shift_jis", "euc_jp", "euc_kr", "big5")
"""Encodings of East Asia: most letters are two bytes."""

SAMPLE = 1 << 20
"""Bytes of a file by which its encoding is guessed."""

SHOWN = 60
"""Characters of a file's content that a message shows."""

_RARE = re.compile("[\ue000-\uf8ff\uff61-\uff9f]{2}")
"""Letters that a wrong guess has in a row: private ones, and katakana of half the width."""

NEWLINE = re.compile(r"\r\n|\r|\n")


def decoded(path: Path, encoding: str | None = None, *, trust: bool = False) -> str:
    """The text of a file; `.gz` is unpacked, and a byte-order mark is no part of it.

    Args:
        path: the file.
        encoding: as Python calls it; None is UTF-8.
        trust: read a file as `encoding` that could be UTF-8 as well.

    Raises:
        DataError: it cannot be read, is damaged, or is not in this encoding.
        ConfigError: there is no such encoding.
    """
    data = _bytes(path)
    for first, kind in PACKED.items():
        if data.startswith(first):
            raise DataError(f"{path} is no text but {kind}; give it as .tsv, .csv or .jsonl.")
    name = "utf-8" if encoding is None else encoding
    try:
        text = data.decode(name)
    except UnicodeError as error:
        start = error.start if isinstance(error, UnicodeDecodeError) else 0
        raise DataError(_undecodable(path, data, start, name)) from None
    except (LookupError, ValueError):
        raise ConfigError(
            f"--encoding {encoding}: there is none of this name; such as utf-8, cp1252, utf-16."
        ) from None
    if "\0" in text:
        at = line_of(text, text.index("\0"))
        raise DataError(
            f"{path}:{at}: holds a zero byte. {_advice(data, name, at) if _zeros(data) else 'Take it out.'}"
        )
    if not trust and _eight_bits(name) and not data.isascii() and _is_utf8(data):
        at = line_of(text, next(i for i, letter in enumerate(text) if ord(letter) > 127))
        raise DataError(
            f"{path}:{at}: is UTF-8, in which it reads {_line(data.decode('utf-8'), at)}, not {_line(text, at)}. Leave "
            f"--encoding {name} out (train and test have the same), or insist with --trust-data."
        )
    return text.lstrip("\ufeff")


def line_of(text: str, position: int) -> int:
    """The line, from 1, in which a character of a text lies; lines end as `open` has them end."""
    return len(NEWLINE.findall(text[:position])) + 1


def shortened(content: object) -> str:
    """What a message shows of a file's content: in quotes, on one line, its middle left out where it is long."""
    text = str(content)
    half = SHOWN // 2
    return repr(text if len(text) <= SHOWN else f"{text[:half]}…{text[-half:]}")


def _bytes(path: Path) -> bytes:
    try:
        if path.suffix != ".gz":
            return path.read_bytes()
        with gzip.open(path) as file:
            return file.read()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged, or no gzip file: {error}. Fetch or make it again.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


def _undecodable(path: Path, data: bytes, start: int, name: str) -> str:
    """What is wrong where bytes are not in an encoding: the line, how it likely reads, and what to do."""
    before = data[:start].decode(name, "ignore")
    number = line_of(before, len(before))
    byte = f"byte 0x{data[start]:02X}" if start < len(data) else "its end"
    return f"{path}:{number}: {byte} is not {'UTF-8' if name == 'utf-8' else name}. {_advice(data, name, number)}"


def _advice(data: bytes, name: str, number: int = 1) -> str:
    """What a file is likely to be, if not in the encoding `name`, and what to do."""
    own = codecs.lookup(name).name
    found = [each for each in likely(data) if codecs.lookup(each).name != own]
    if not found:
        mend = own == "utf-8" and _is_mostly_utf8(data)
        return "The rest is: mend this line." if mend else "Give what it was written in with --encoding."
    reads = _line(data.decode(found[0], "replace"), number)
    others = f" (or {' or '.join(found[1:])})" if found[1:] else ""
    option = "leave --encoding out" if found[0] == "utf-8" else f"give --encoding {found[0]}"
    return f"The file is likely {found[0]}{others}, in which this line reads {reads}: {option}, or what it is in."


def likely(data: bytes) -> list[str]:
    """Encodings that a file may have, the likeliest first; none where it is UTF-8 but for a few bytes, or unclear."""
    for mark, name in MARKS:
        if data.startswith(mark):
            return [name]
    if wide := _zeros(data):
        return [wide]
    if _is_utf8(data):
        return ["utf-8"]
    if _is_mostly_utf8(data):
        return []
    around = b"\n".join(line for line in data.splitlines() if not line.isascii())[:SAMPLE].rpartition(b"\n")
    lines = around[0] or around[2]
    runs = re.findall(rb"[\x80-\xff]+", lines)
    if sum(map(len, runs)) < 1.5 * len(runs):  # as letters with accents are, alone among others
        return [name for name in ("cp1252", "mac_roman") if _decodes(lines, name)][:1]
    names = [name for name in (*IN_PAIRS, "cp1251", "cp1252") if _decodes(lines, name)]
    names = [name for name in names if not _RARE.search(lines.decode(name))]
    return sorted(names, key=lambda name: not _reads_well(lines.decode(name), name))[:3]


def _zeros(data: bytes) -> str | None:
    """The form of UTF-16 without a mark that a file has in which every other byte is zero, as in most of Latin."""
    sample = data[:SAMPLE]
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if (even + odd) * 5 < len(sample):
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _reads_well(text: str, name: str) -> bool:
    """Whether a text has the letters that no other language has: kana in Japanese, hangul nearly alone in Korean."""
    letters = [letter for letter in text if ord(letter) > 127]
    first, last, share = {"shift_jis": ("ぁ", "ヿ", 0.2), "euc_jp": ("ぁ", "ヿ", 0.2), "euc_kr": ("가", "힣", 0.9)}.get(
        name, ("", "", 1.0)
    )
    return bool(first) and sum(first <= letter <= last for letter in letters) >= share * len(letters)


def _is_mostly_utf8(data: bytes) -> bool:
    """Whether more lines beyond ASCII are UTF-8 than are not, or all that is not are characters that are cut off."""
    lines = [line for line in data.splitlines() if not line.isascii()]
    broken = [line for line in lines if not _is_utf8(line)]
    runs = (run for line in broken for run in re.findall(rb"[\x80-\xff]+", line))
    return 2 * len(broken) < len(lines) or all(_is_utf8(run) or _is_cut_off(run) for run in runs)


def _is_cut_off(run: bytes) -> bool:
    """Whether bytes are UTF-8 but for the last character, of which at least two bytes are there."""
    try:
        run.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data" and error.end - error.start > 1
    return False


def _decodes(data: bytes, name: str) -> bool:
    try:
        data.decode(name)
    except UnicodeError:
        return False
    return True


def _is_utf8(data: bytes) -> bool:
    return _decodes(data, "utf-8")


def _eight_bits(name: str) -> bool:
    """Whether an encoding is none of Unicode's own, so that UTF-8 would be misread as it."""
    return not codecs.lookup(name).name.startswith("utf")


def _line(text: str, number: int) -> str:
    lines = NEWLINE.split(text.removeprefix("\ufeff"), number)
    return shortened(lines[min(number, len(lines)) - 1])
