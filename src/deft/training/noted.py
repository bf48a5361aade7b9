"""A copy of an h-transform whose card says more: its tensors as they are, sealed again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deft.storage import cards, tensors
from deft.training.checkpoint import CARD, KIND


def noted(path: Path, out: Path, fields: Mapping[str, object]) -> None:
    """Write the h-transform at `path` to `out` with these fields on its card, which replace those
    of the same name.

    The file is replaced in one step. Raises `CheckpointError` for a file that is none, and
    `InvalidInput` for a field that a card may not hold.
    """
    weights, head = tensors.read(path, KIND, CARD)
    fresh = {**dict(head.card), **{name: cards.plain(value) for name, value in fields.items()}}
    CARD.check("card", fresh)
    out.parent.mkdir(parents=True, exist_ok=True)
    tensors.write(out, weights, fresh, KIND)
