"""What earlier versions did not record is not compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LATER = ("fingerprint", "signals", "schedule", "prediction", "scale")  # of data, of a user's own operator, and of a prior


def as_recorded(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our card without what earlier versions did not record and theirs lacks: what is not known is not compared."""
    kept = {name: value for name, value in ours.items() if name not in _LATER or theirs.get(name) is not None}
    return {
        name: as_recorded(value, theirs[name]) if isinstance(value, Mapping) and isinstance(theirs.get(name), Mapping) else value
        for name, value in kept.items()
    }
