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
