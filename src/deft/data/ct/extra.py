"""Packages of the extra `data`."""

from importlib import import_module
from typing import Any

from deft.errors import InvalidInput


def extra(name: str) -> Any:
    """A package of the extra `data`, imported."""
    try:
        return import_module(name)
    except ImportError as error:
        raise InvalidInput(
            f"{name} is not installed; `pip install deft-diffusion[data]`, or give slices in HU "
            "as npy or npz."
        ) from error
