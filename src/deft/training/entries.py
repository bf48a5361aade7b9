"""One evaluation of a prior as it is stored in a bank, and the room that a bank takes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deft.errors import InvalidInput

MOST_ENTRIES = 1 << 40


def entry_type(event_shape: Sequence[int]) -> np.dtype:
    """One evaluation as a record."""
    shape = tuple(event_shape)
    return np.dtype([("x_0", "<f2", shape), ("error", "<f2", shape), ("t", "<f4"), ("seed", "<i8")])


def check_room(
    evaluations: int,
    event_shape: Sequence[int],
    folder: Path,
    name: str = "evaluations",
    stored: int = 0,
) -> None:
    """Raise `InvalidInput` where a bank would be larger than what is free on the disk of a folder,
    which need not be there yet; `stored` of its evaluations are there, and `name` is what the user
    gave.
    """
    each = entry_type(event_shape).itemsize
    free = shutil.disk_usage(
        next(place for place in (folder, *folder.absolute().parents) if place.is_dir())
    ).free
    if (evaluations - stored) * each > free:
        raise InvalidInput(
            name,
            given=evaluations,
            expected=f"at most {stored + free // each}, for which the disk has room",
            advice=f"the bank would take {evaluations * each / 1e9:,.1f} GB and {free / 1e9:,.1f} "
            "GB are free",
        )
