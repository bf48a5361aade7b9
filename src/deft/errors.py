"""Errors that users meet: each says what was given, what was expected, and what to do."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class DeftError(Exception):
    """The base of every error that this library raises on purpose."""


class InvalidInput(DeftError, ValueError):
    """An argument has a wrong shape, range, sign or name."""


class PriorNotDifferentiable(DeftError):
    """A method needs gradients through a prior that has none."""


class ScheduleOutOfRange(DeftError, ValueError):
    """A noise level was asked for that the network has never seen."""


class BadImage(DeftError):
    """A file is no readable image, or an image of the wrong shape or range."""


class CheckpointError(DeftError):
    """A checkpoint is truncated, foreign, or made for another prior or problem."""


class TrainingDiverged(DeftError):
    """A loss or a gradient is not finite."""


class WeightsNotFinite(DeftError):
    """The weights of samples are not finite."""


class OutOfMemory(DeftError):
    """The device has no room for the batch."""


def at_least_one(counts: Mapping[str, int | None]) -> None:
    """Raise `InvalidInput` for the first count below 1; None is no count."""
    for name, count in counts.items():
        if count is not None and count < 1:
            raise InvalidInput(f"{name} must be at least 1; got {count}.")


def says_no_memory(error: BaseException) -> bool:
    """Whether an error of torch, a driver or Python says that there was no room for something."""
    text = str(error).lower()
    kinds = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return kinds or any(part in text for part in ("out of memory", "allocate memory", "not enough memory"))


@contextmanager
def room_for(what: str, advice: str) -> Iterator[None]:
    """Within the block, an error that says that there was no room becomes `OutOfMemory`: the device has no room for `what`; `advice`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not says_no_memory(error):
            raise
        raise OutOfMemory(f"the device has no room for {what}; {advice}.") from error


def nearest_names(name: str, known: list[str]) -> str:
    """The clause `; did you mean ...?` for a misspelt name, or an empty string where nothing is near."""
    import difflib

    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(near)}?" if near else ""
