"""Errors that users meet: each says what was given, what was expected, and what to do.

InvalidInput("sigma_y", given=-1, expected="a standard deviation >= 0 in the units of y",
advice="use 0 for no noise") sigma_y: got -1; expected a standard deviation >= 0 in the units of y.
Use 0 for no noise.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePath

_LONGEST = 200  # characters of a value that is shown


class DeftError(Exception):
    """The base of every error that this library raises on purpose.

    `what` names what is wrong, or is the whole sentence where no part is given. The parts (`given`:
    the value, any object; `expected` and `advice`: text) are kept as attributes, and the message is
    composed of them, so that tests and other programs need not read prose. `exit_status` is that of
    the command line; `same_call_goes_on` says that what is done is kept, and that the same call
    goes on with it once what was in its way has gone.
    """

    exit_status = 2
    same_call_goes_on = False

    def __init__(
        self, what: str = "", *, given: object = None, expected: str = "", advice: str = ""
    ) -> None:
        self.what, self.given, self.expected, self.advice = what, given, expected, advice
        super().__init__(_composed(what, given, expected, advice))


def _composed(what: str, given: object, expected: str, advice: str) -> str:
    """`what: got given; expected expected. Advice.`, of the parts that there are."""
    facts = ([f"got {shown(given)}"] if given is not None else []) + (
        [f"expected {expected}"] if expected else []
    )
    sentence = f"{what}: {'; '.join(facts)}" if facts else what
    if not advice:
        return f"{sentence.rstrip('.')}." if facts else sentence
    end = "" if advice.endswith(("?", ".")) else "."
    return f"{sentence.rstrip('.')}. {advice[:1].upper()}{advice[1:]}{end}"


def shown(value: object) -> str:
    """A value as an error shows it: text and paths as they are, control characters escaped, long
    ones cut.
    """
    text = str(value) if isinstance(value, str | PurePath) else repr(value)
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST - 3]}..."


class InvalidInput(DeftError, ValueError):
    """An argument has a wrong shape, range, sign or name."""


class PriorNotDifferentiable(InvalidInput):
    """A method needs gradients through a prior that has none."""


class PriorUnavailable(DeftError):
    """A prior behind an API does not answer, or with something that is no answer."""

    same_call_goes_on = True


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


class FolderInUse(DeftError):
    """Another run writes to the folder."""


class CommandFailed(DeftError):
    """A program of the user's cannot be run, fails, or leaves no result."""

    same_call_goes_on = True


class SamplesNotFinite(DeftError):
    """Samples hold NaN or infinite values."""

    exit_status = 1


class DeftWarning(UserWarning):
    """The base of every warning of this library: something was done, or left out, that may not be
    meant.
    """


class SaysNothing(DeftWarning):
    """A method's guidance is exactly zero although the measurement is not explained: the samples
    are the prior's.
    """


class OutsideTraining(DeftWarning):
    """A learned h-transform is asked for a noise level that it was not trained for."""


class OutOfMemory(DeftError):
    """The device has no room for the batch."""


MOST = 1 << 20


def at_least_one(counts: Mapping[str, int | None]) -> None:
    """Raise `InvalidInput` for the first count below 1, or above a million; None is no count."""
    for name, count in counts.items():
        if count is not None and not 1 <= count <= MOST:
            raise InvalidInput(name, given=count, expected=f"a whole number from 1 to {MOST:,}")


def says_no_memory(error: BaseException) -> bool:
    """Whether an error of torch, a driver or Python says that there was no room for something."""
    text = str(error).lower()
    kinds = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return kinds or any(
        part in text for part in ("out of memory", "allocate memory", "not enough memory")
    )


@contextmanager
def room_for(what: str, advice: str) -> Iterator[None]:
    """Within the block, an error that says that there was no room becomes `OutOfMemory`: the device
    has no room for `what`; `advice`.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not says_no_memory(error):
            raise
        raise OutOfMemory(f"the device has no room for {what}; {advice}.") from error


def first_line(error: BaseException) -> str:
    """Kind and first line of an error of another library."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def nearest_names(name: str, known: list[str]) -> str:
    """The clause `; did you mean ...?` for a misspelt name, or an empty string where nothing is
    near.
    """
    import difflib

    near = difflib.get_close_matches(name, list(dict.fromkeys(known)), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(near)}?" if near else ""
