"""Whether measurements have the shape that a problem measures."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from deft.errors import InvalidInput


def check_shapes(
    rows: Sequence[Tensor], names: Sequence[str], expected: tuple[int, ...], pictures: bool
) -> None:
    """Raise for a measurement of another shape than the problem's."""
    for name, row in zip(names, rows):
        if tuple(row.shape) != expected:
            advice = _axes(row, len(rows), expected)
            if not advice and pictures and row.ndim == 3 and tuple(row.shape[:1]) == expected[:1]:
                advice = (
                    f"resize it to {expected[2]} x {expected[1]} (width x height), and its mask "
                    "with it"
                )
            raise InvalidInput(
                f"the measurement {name}",
                given=f"shape {tuple(row.shape)}",
                expected=f"{expected}, what this problem measures",
                advice=advice,
            )


def _axes(row: Tensor, count: int, expected: tuple[int, ...]) -> str:
    """What to do where the axes of an array may be the wrong way round, or the first one, of
    measurements, left out.
    """
    own, plain = tuple(row.shape), expected[1:] if expected[0] == 1 else expected
    if len(expected) == 3 and own[-2:] == expected[-2:][::-1] != expected[-2:]:
        return "swap its last two axes (y.swapaxes(-1, -2))"
    if (count, *own) == plain:
        return "the first axis of the array counts measurements: for one measurement save y[None]"
    if (count, *own) == plain[::-1]:
        return (
            f"the first axis of the array counts measurements, and the others are {plain}: for one "
            "measurement save y.T[None]"
        )
    return ""
