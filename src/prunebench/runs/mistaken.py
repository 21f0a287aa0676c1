"""Mistaken: what a file is that is taken for data or weights now and then, by its first bytes, and what to do."""

from __future__ import annotations

from pathlib import Path

from prunebench.reading import open_plain

BEGINNING = 64
"""Bytes by which a file is known."""

STAND_INS = {
    b"version https://git-lfs": "a pointer of Git LFS, not the file that it stands for. Fetch that by: git lfs pull",
    **dict.fromkeys((b"<!doctype html", b"<html"), "a web page. Download the file itself"),
}
"""What stands where a file should be, in small letters."""

KINDS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a rar archive",
    b"PK\x03\x04": "a zip archive or a workbook",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "a workbook or document of old Office",
    b"PAR1": "Parquet",
    b"ARROW1": "Arrow",
    b"FEA1": "Feather",
    b"SQLite format 3\0": "a SQLite database",
    b"\x89HDF": "HDF5",
    b"\x93NUMPY": "an array of NumPy",
    **{b"\x80" + bytes([protocol]): "a pickle" for protocol in range(2, 6)},
    b"%PDF": "a PDF",
    b"GGUF": "GGUF",
}
"""First bytes of files of other kinds."""


def stand_in(begins: bytes) -> str:
    """What stands where a file that begins so should be, and what to do; empty where nothing is known of it."""
    first = begins.lstrip().lower()
    return next((told for start, told in STAND_INS.items() if first.startswith(start)), "")


def kind_by(begins: bytes) -> str:
    """What kind of file begins so; empty where none that is known does."""
    return next((kind for start, kind in KINDS.items() if begins.startswith(start)), "")


def beginning(path: Path) -> bytes:
    """The first bytes of a file; none where it cannot be read."""
    try:
        with open_plain(path) as file:
            return file.read(BEGINNING)
    except OSError:
        return b""
