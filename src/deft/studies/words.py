"""Numbers with their nouns."""

from __future__ import annotations

from collections.abc import Sequence

_NAMED = 10


def number(count: int, noun: str) -> str:
    """`1 sample`, `2 samples`, `1,000 images`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def some(names: Sequence[str]) -> str:
    """The first few names, and how many there are beyond them."""
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
