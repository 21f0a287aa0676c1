"""Background: one piece of work at a time, done by a thread while the caller goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from prunebench.errors import Stopped


class Background:
    """Work that a thread does; what it raises is raised where it is waited for.

    Used as a context, it is left when the work is done. What went wrong is then raised unless another error is on its
    way, for which it would not be told; where the caller was only stopped, it is.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def start(self, work: Callable[[], None]) -> None:
        """Begin a piece of work, none being under way."""
        assert self._thread is None, "it is waited for first"

        def attempt() -> None:
            try:
                work()
            except BaseException as error:
                self._error = error

        self._thread = threading.Thread(target=attempt, name="prunebench-writes")
        self._thread.start()

    def wait(self) -> None:
        """Return when no work is under way; raise what it has raised, once."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def __enter__(self) -> Background:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self.wait()
        except Exception:
            if kind is None or issubclass(kind, Stopped):
                raise
