"""Diffusion priors; `load` takes a name, a file, a folder or a hub id."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deft.priors.base import Prior
    from deft.priors.details import Details


def load(
    name: str | Path,
    *,
    labels: Sequence[int] | None = None,
    subfolder: str | None = None,
    schedule: str | None = None,
    prediction_type: str | None = None,
    details: Details | None = None,
    allow: Collection[str] | str = (),
) -> Prior:
    """The prior called `name` (deft.priors.resolve)."""
    from deft.priors import resolve

    return resolve.load(
        name,
        labels=labels,
        subfolder=subfolder,
        schedule=schedule,
        prediction_type=prediction_type,
        details=details,
        allow=allow,
    )


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    try:
        return import_module(f"deft.priors.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"deft.priors.{name}":
            raise
        raise AttributeError(f"module 'deft.priors' has no attribute {name!r}") from None
