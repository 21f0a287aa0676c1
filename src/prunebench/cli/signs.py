"""Signs: what is printed where a console lacks one. A code page without ± must not end a run."""

from __future__ import annotations

PLAIN = {
    **dict.fromkeys("‐‑‒–—−", "-"),
    **{"×": "x", "±": "+-", "≤": "<=", "≥": ">=", "…": "...", "→": "->", "←": "<-", "·": ".", "≈": "~", "µ": "u"},
    **dict.fromkeys("‘’", "'"),
    **dict.fromkeys("“”", '"'),
    "\N{NO-BREAK SPACE}": " ",
}
"""What stands for a sign. Of any other the console shows ?, and of bytes of names that are no UTF-8 their number."""

PLAINLY = "prunebench.plainly"


def plainly(error: UnicodeError) -> tuple[str, int]:
    """Handler of codecs: signs that an encoding lacks, in those that it has."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(sign: str) -> str:
    byte = ord(sign) - 0xDC00
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else PLAIN.get(sign, "?")
