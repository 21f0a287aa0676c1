"""What is shown for a sign that a console lacks."""

import pytest

from prunebench.cli import signs


def test_what_stands_for_a_sign_is_in_every_code_page():
    assert "".join(signs.PLAIN.values()).isascii()


def test_signs_are_shown_in_others_and_bytes_by_their_number():
    assert signs.plainly(UnicodeEncodeError("ascii", "a–猫\udce9b", 1, 4, "")) == ("-?\\xe9", 4)


def test_what_cannot_be_read_is_no_matter_of_signs():
    with pytest.raises(UnicodeDecodeError):
        signs.plainly(UnicodeDecodeError("ascii", b"\xe9", 0, 1, ""))
