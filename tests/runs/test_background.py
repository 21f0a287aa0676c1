"""Background: work is done while the caller goes on, one piece at a time, and no error of it is lost."""

from __future__ import annotations

import threading

import pytest

from prunebench.errors import DiskError, Stopped
from prunebench.runs.background import Background


def fails():
    raise DiskError("no space is left")


def test_the_caller_goes_on_meanwhile_and_waits_for_the_end():
    work, may_end, done = Background(), threading.Event(), []

    def slow():
        may_end.wait(10)
        done.append(threading.current_thread())

    work.start(slow)
    assert done == []
    may_end.set()
    work.wait()
    assert len(done) == 1
    assert done[0] is not threading.current_thread()


def test_what_went_wrong_is_raised_where_it_is_waited_for_once():
    work = Background()
    work.wait()
    work.start(fails)
    with pytest.raises(DiskError, match="no space"):
        work.wait()
    work.wait()
    work.start(lambda: None)
    work.wait()


@pytest.mark.parametrize("error", [None, Stopped])
def test_at_the_end_of_a_context_it_is_raised_also_where_the_caller_was_stopped(error):
    def use():
        with Background() as work:
            work.start(fails)
            if error:
                raise error("stopped")

    with pytest.raises(DiskError, match="no space"):
        use()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_at_the_end_of_a_context_another_error_is_told_instead_when_the_work_is_done(error):
    may_end, done = threading.Event(), []

    def slow():
        may_end.wait(10)
        done.append(True)
        fails()

    def use():
        with Background() as work:
            work.start(slow)
            may_end.set()
            raise error("something else")

    with pytest.raises(error, match="something else"):
        use()
    assert done == [True]
