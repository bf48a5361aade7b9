"""A stop that is asked for: Ctrl-C, SIGTERM, and SIGHUP where the system has it.

All three mean the same: save what is done, let go of the folder, say how to go on. A signal that
the process was told to ignore (`nohup`) stays ignored.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, final

TERMINATION = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)


@final
class Stopped(KeyboardInterrupt):
    """A stop that a signal asked for; `number` is that of the signal, and 128 + number the exit
    status by convention (130 for Ctrl-C).
    """

    def __init__(self, message: str = "", number: int = signal.SIGINT) -> None:
        self.number = int(number)
        super().__init__(message)


def number_of(error: BaseException) -> int:
    """The signal behind an interruption: that of Ctrl-C where nothing else is known."""
    return error.number if isinstance(error, Stopped) else int(signal.SIGINT)


def by(number: int) -> str:
    """`by SIGTERM`, or nothing for Ctrl-C, which needs no name."""
    return "" if number == signal.SIGINT else f" by {signal.Signals(number).name}"


@final
class Asked:
    """Whether a stop was asked for, and by which signal."""

    def __init__(self) -> None:
        self.number: int | None = None

    def is_set(self) -> bool:
        return self.number is not None


_waiting: list[Asked] = []


def pending() -> bool:
    """Whether a stop was asked for that a block of `noted` has still to act on: what waits for
    something else then waits no longer.
    """
    return any(asked.is_set() for asked in _waiting)


@contextmanager
def noted() -> Iterator[Asked]:
    """Within the block the first signal is noted instead of striking anywhere; the second one
    strikes as it would outside.
    """
    asked = Asked()
    usual: dict[int, Any] = {}

    def note(number: int, frame: object) -> None:
        asked.number = number
        for one, handler in usual.items():
            signal.signal(one, handler)

    with _handled((signal.SIGINT, *TERMINATION), note, usual):
        _waiting.append(asked)
        try:
            yield asked
        finally:
            _waiting.remove(asked)


@contextmanager
def raised() -> Iterator[None]:
    """Within the block a SIGTERM or SIGHUP raises `Stopped`, as Ctrl-C raises KeyboardInterrupt."""

    def stop(number: int, frame: object) -> None:
        raise Stopped(number=number)

    with _handled(TERMINATION, stop, {}):
        yield


@contextmanager
def _handled(
    numbers: Sequence[int], handler: Callable[[int, object], None], usual: dict[int, Any]
) -> Iterator[None]:
    """The handler for these signals within the block; outside the main thread, where Python takes
    no handlers, nothing.
    """
    if threading.current_thread() is threading.main_thread():
        for number in numbers:
            before = signal.getsignal(number)
            if number == signal.SIGINT or (before is not signal.SIG_IGN and before is not None):
                usual[number] = before
        for number in usual:
            signal.signal(number, handler)
    try:
        yield
    finally:
        for number, before in usual.items():
            signal.signal(number, before)
