"""Lines of `deft inspect`: a name and a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deft.errors import CheckpointError


def of_tensors(tensors: Mapping[str, Any]) -> None:
    """How many parameters there are. Raises `CheckpointError` where some are not finite."""
    count = sum(value.numel() for value in tensors.values())
    kinds = ", ".join(
        sorted({str(value.dtype).removeprefix("torch.") for value in tensors.values()})
    )
    broken = [
        name
        for name, value in tensors.items()
        if value.is_floating_point() and not bool(value.isfinite().all())
    ]
    rows({"parameters": f"{count:,} in {len(tensors)} tensors ({kinds})"})
    if broken:
        raise CheckpointError(
            f"{len(broken)} tensors hold NaN or infinite values: {', '.join(broken[:5])}."
        )


def rows(shown: Mapping[str, object]) -> None:
    """Print each on a line."""
    for key, value in shown.items():
        print(f"{key:14} {printable(value)}")


def printable(value: object) -> str:
    """A value without control characters, which a file could carry to a terminal."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value)
    )
