"""Encodings: in which a file's bytes are likely written, by the bytes alone."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from contextlib import suppress

MARKS = (
    *((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32")),
    *((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")),
)
"""Byte-order marks, and the encodings whose decoders read them."""

IN_PAIRS = ("gb18030", "shift_jis", "euc_jp", "euc_kr", "big5")
"""Encodings of East Asia: most letters are two bytes."""

SAMPLE = 1 << 20
"""Bytes of a file by which its encoding is guessed."""

OF_LATIN = ("cp1252", "cp1250", "mac_roman", "cp850", "cp437")
"""Encodings of Latin letters with accents: of Windows, of old Macs, and of DOS."""

OF_CYRILLIC = ("cp1251", "koi8_r", "cp866", "iso8859_5")

WINDOWS = {
    **{"iso8859-1": "cp1252", "iso8859-15": "cp1252", "iso8859-2": "cp1250"},
    **{"iso8859-7": "cp1253", "iso8859-9": "cp1254"},
}
"""ISO's encodings, and those of Windows that have letters where ISO's have signs that no text holds."""

_CONTROL = re.compile("[\x80-\x9f]")
_RARE = re.compile("[\ue000-\uf8ff\uff61-\uff9f]{2}")
"""Letters that a wrong guess has in a row: private ones, and katakana of half the width."""

_CAPITALS = "".join(letter for letter in map(chr, range(0xC0, 0x180)) if letter.isupper())
_SIGNS = "\u2018\u2019\u201c\u201d\u201e\u2013\u2014\u2026\u20ac\xa0\xa1\xa3\xa7\xab\xb0\xbb\xbf"
_ODD = re.compile(
    rf"(?<=[a-z])[{_CAPITALS}]|(?<=[A-Za-z])[^\W\d_A-Za-z\xc0-\u017f\u2019]|[^\w\s\x00-\x7f{_SIGNS}]"
    rf"|(?<=[A-Za-z])[^\w\s\x00-\x7f\u2019](?=[A-Za-z])"
)
"""What Latin text seldom holds: capitals after small letters, strange letters or signs in words, and rare signs."""

_NOT_SMALL = re.compile("[^\\x00-\\x7f\u0430-\u044f\u0451]")
"""What is beyond ASCII and no small letter of Cyrillic, as few letters of a text are."""


def likely(data: bytes) -> list[str]:
    """Encodings that a file may have, the likeliest first; none where it is UTF-8 but for a few bytes, or unclear."""
    for mark, name in MARKS:
        if data.startswith(mark):
            return [name]
    if found := wide(data):
        return [found]
    if is_utf8(data):
        return ["utf-8"]
    if is_mostly_utf8(data):
        return []
    around = b"\n".join(line for line in data.splitlines() if not line.isascii())[:SAMPLE].rpartition(b"\n")
    lines = around[0] or around[2]
    runs = re.findall(rb"[\x80-\xff]+", lines)
    if sum(map(len, runs)) < 1.5 * len(runs):  # as letters with accents are, alone among others
        return _best(lines, OF_LATIN, _ODD)[:1]
    names = [*IN_PAIRS, *_best(lines, OF_CYRILLIC, _NOT_SMALL)[:1], "cp1252"]
    names = [name for name in names if decodes(lines, name) and not _RARE.search(lines.decode(name))]
    return sorted(names, key=lambda name: not _reads_well(lines.decode(name), name))[:3]


def _best(data: bytes, names: Sequence[str], odd: re.Pattern[str]) -> list[str]:
    """The encodings in which bytes are a text, those first in which least is odd."""
    texts = {name: data.decode(name) for name in names if decodes(data, name)}
    return sorted(texts, key=lambda name: len(odd.findall(texts[name])))


def wide(data: bytes) -> str | None:
    """The form of UTF-16 or UTF-32 without a mark that a file has of whose bytes many are zero, as in most of Latin."""
    sample = data[:SAMPLE]
    zeros = [sample[start::4].count(0) for start in range(4)]
    if not sample or sum(zeros) * 5 < len(sample):
        return None
    if min(zeros[1:3]) * 2 > len(sample) // 4:  # of four bytes of a letter the middle ones are zero in either order
        return "utf-32-le" if zeros[3] > zeros[0] else "utf-32-be"
    return "utf-16-le" if zeros[1] + zeros[3] > zeros[0] + zeros[2] else "utf-16-be"


def rather(data: bytes, text: str, name: str) -> tuple[str, int] | None:
    """The encoding that bytes are rather in than in `name`, and where that shows first in the `text` that they are in
    it; None where there is none.

    Nearly all bytes are a text in most encodings, but seldom one that is meant.
    """
    own = codecs.lookup(name).name
    of_unicode = own.startswith("utf")
    if of_unicode and (found := wide(data)) and text != _text(data, found):
        return found, 0
    if not own.startswith(("utf-8", "utf-7")) and b"\0" not in data and is_utf8(data):
        if "a".encode(name) != b"a" and text != _text(data, "utf-8"):
            return "utf-8", 0
        if not of_unicode and not data.isascii():
            return "utf-8", next(i for i, letter in enumerate(text) if ord(letter) > 127)
    if own in WINDOWS and (sign := _CONTROL.search(text)) and decodes(data, WINDOWS[own]):
        return WINDOWS[own], sign.start()
    return None


def _text(data: bytes, name: str) -> str:
    return data.decode(name, "replace").lstrip("\ufeff")


def _reads_well(text: str, name: str) -> bool:
    """Whether a text has the letters that no other language has: kana in Japanese, hangul nearly alone in Korean."""
    letters = [letter for letter in text if ord(letter) > 127]
    first, last, share = {"shift_jis": ("ぁ", "ヿ", 0.2), "euc_jp": ("ぁ", "ヿ", 0.2), "euc_kr": ("가", "힣", 0.9)}.get(
        name, ("", "", 1.0)
    )
    return bool(first) and sum(first <= letter <= last for letter in letters) >= share * len(letters)


def is_mostly_utf8(data: bytes) -> bool:
    """Whether more lines beyond ASCII are UTF-8 than are not, or all that is not are characters that are cut off."""
    lines = [line for line in data.splitlines() if not line.isascii()]
    broken = [line for line in lines if not is_utf8(line)]
    runs = (run for line in broken for run in re.findall(rb"[\x80-\xff]+", line))
    return 2 * len(broken) < len(lines) or all(is_utf8(run) or _is_cut_off(run) for run in runs)


def _is_cut_off(run: bytes) -> bool:
    """Whether bytes are UTF-8 but for the last character, of which at least two bytes are there."""
    try:
        run.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data" and error.end - error.start > 1
    return False


def once(text: str) -> str:
    """What a text was before its UTF-8 was read as another encoding, and written again; itself where it was not."""
    if text.isascii():
        return text
    for name in ("cp1252", "latin-1"):
        with suppress(UnicodeError):
            return text.encode(name).decode()
    return text


def decodes(data: bytes, name: str) -> bool:
    """Whether bytes are a text in an encoding."""
    try:
        data.decode(name)
    except UnicodeError:
        return False
    return True


def is_utf8(data: bytes) -> bool:
    """Whether bytes are UTF-8."""
    return decodes(data, "utf-8")
