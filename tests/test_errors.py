import inspect

import pytest

from prunebench import errors

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_caught_as_a_prunebench_error_and_keeps_its_message(kind):
    with pytest.raises(errors.PrunebenchError, match=r"^what is wrong, what to do$"):
        raise kind("what is wrong, what to do")


@pytest.mark.parametrize("kind", KINDS)
def test_the_tree_at_the_top_of_the_file_names_every_error(kind):
    assert f" {kind.__name__} " in f" {errors.__doc__} ".replace("\n", " ")


def test_an_unknown_name_is_a_wrong_setting():
    assert issubclass(errors.UnknownName, errors.ConfigError)


def test_controls_are_told_by_their_number_and_lines_stay_lines():
    assert errors.plain("\x1b[31mred\x1b[0m\tor\nnot\x00\r\x9b\u202egnp") == (
        "\\x1b[31mred\\x1b[0m\tor\nnot\\x00\\r\\x9b\\u202egnp"
    )


def test_what_is_put_on_a_line_stays_there():
    assert errors.on_a_line("a\nb\tc\x85d\u2028e\x1b") == "a\\nb\\tc\\x85d\\u2028e\\x1b"


@pytest.mark.parametrize("text", ["x" * 20_000, "x " * 20_000, "\x1b" * 20_000, "/a/folder" * 2_000 + " is gone"])
def test_a_message_is_legible_whatever_it_names(text):
    message = str(errors.ConfigError(f"--model {text}: there is none."))
    assert len(message) < 2_100
    assert message.startswith("--model ")
    assert message.endswith(": there is none.")
    assert "characters …]" in message
    assert "\x1b" not in message


def test_what_is_short_stays_as_it_is():
    path = "/home/somebody/" + "folder/" * 35
    assert errors.legible(f"{path}: there is no file.\n    prunebench runs") == (
        f"{path}: there is no file.\n    prunebench runs"
    )
