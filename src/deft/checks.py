"""Checks of numbers that users give: each returns the number as Python's, or raises `InvalidInput`
with one line.

    positive("field", value, "the length of the longer side of an image")
    field: got nan; expected a finite number > 0, the length of the longer side of an image.

NaN, infinity, truth values and text are no numbers here; 4.0 is a whole number, 4.5 is none.
Scalars of numpy and tensors of one entry count as numbers.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn

from deft.errors import InvalidInput, nearest_names


def finite(what: str, value: object, meaning: str = "", advice: str = "") -> float:
    """A finite number."""
    return _number(what, value, "a finite number", meaning, advice)


def positive(what: str, value: object, meaning: str = "", advice: str = "") -> float:
    """A finite number > 0."""
    expected = "a finite number > 0"
    found = _number(what, value, expected, meaning, advice)
    return found if found > 0 else _refuse(what, value, expected, meaning, advice)


def non_negative(what: str, value: object, meaning: str = "", advice: str = "") -> float:
    """A finite number >= 0."""
    expected = "a finite number >= 0"
    found = _number(what, value, expected, meaning, advice)
    return found if found >= 0 else _refuse(what, value, expected, meaning, advice)


def at_least(what: str, value: object, least: float, meaning: str = "", advice: str = "") -> float:
    """A finite number >= `least`."""
    expected = f"a finite number >= {least:g}"
    found = _number(what, value, expected, meaning, advice)
    return found if found >= least else _refuse(what, value, expected, meaning, advice)


def share(
    what: str,
    value: object,
    meaning: str = "",
    advice: str = "",
    *,
    zero: bool = True,
    one: bool = True,
) -> float:
    """A share or a probability in [0, 1]; without its ends where `zero` or `one` says so."""
    expected = f"a number in {'[' if zero else '('}0, 1{']' if one else ')'}"
    found = _number(what, value, expected, meaning, advice)
    inside = (found > 0 or (zero and found == 0)) and (found < 1 or (one and found == 1))
    return found if inside else _refuse(what, value, expected, meaning, advice)


def whole(
    what: str,
    value: object,
    least: int = 1,
    most: int | None = None,
    meaning: str = "",
    advice: str = "",
) -> int:
    """A whole number between `least` and `most`."""
    expected = (
        f"a whole number >= {least}"
        if most is None
        else f"a whole number from {least:,} to {most:,}"
    )
    found = _number(what, value, expected, meaning, advice)
    if found != math.floor(found):
        _refuse(what, value, expected, meaning, advice)
    exact = int(value) if isinstance(value, int) else int(found)
    return (
        exact
        if least <= exact and (most is None or exact <= most)
        else _refuse(what, value, expected, meaning, advice)
    )


def finite_range(
    what: str, value: object, meaning: str = "", advice: str = ""
) -> tuple[float, float]:
    """(low, high), finite, with low < high."""
    expected = "(low, high), finite, with low < high"
    low, high = _pair(what, value, expected, meaning, advice)
    return (low, high) if low < high else _refuse(what, value, expected, meaning, advice)


def positive_range(
    what: str, value: object, meaning: str = "", advice: str = ""
) -> tuple[float, float]:
    """(low, high) with 0 < low <= high, finite."""
    expected = "(low, high), finite, with 0 < low <= high"
    low, high = _pair(what, value, expected, meaning, advice)
    return (low, high) if 0 < low <= high else _refuse(what, value, expected, meaning, advice)


def name(what: str, value: object, known: Any, advice: str = "") -> str:
    """One of the `known` names; the nearest ones are suggested."""
    if isinstance(value, str) and value in known:
        return value
    near = nearest_names(value, list(known)) if isinstance(value, str) else ""
    nearest = near.removeprefix("; did you mean ").removesuffix("?")
    expected = f"one of {', '.join(known)}"
    raise InvalidInput(
        what,
        given="None" if value is None else value,
        expected=expected,
        advice=advice or (f"perhaps {nearest} is meant" if near else ""),
    )


def _number(what: str, value: object, expected: str, meaning: str, advice: str) -> float:
    """A finite float, whatever kind of number it is."""
    if (
        isinstance(value, (bool, str, bytes, complex))
        or value is None
        or "bool" in str(getattr(value, "dtype", ""))
    ):
        _refuse(what, value, expected, meaning, advice)
    try:
        found = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError, OverflowError):
        _refuse(what, value, expected, meaning, advice)
    return found if math.isfinite(found) else _refuse(what, value, expected, meaning, advice)


def _pair(
    what: str, value: object, expected: str, meaning: str, advice: str
) -> tuple[float, float]:
    if not isinstance(value, (tuple, list)) or len(value) != 2 or not all(map(_is_number, value)):
        _refuse(what, value, expected, meaning, advice)
    return float(value[0]), float(value[1])


def _is_number(value: object) -> bool:
    try:
        _number("", value, "", "", "")
    except InvalidInput:
        return False
    return True


def _refuse(what: str, given: object, expected: str, meaning: str, advice: str) -> NoReturn:
    shown = f"the text {given!r}" if isinstance(given, str) else "None" if given is None else given
    raise InvalidInput(
        what, given=shown, expected=f"{expected}, {meaning}" if meaning else expected, advice=advice
    )
