"""Checkpoints of PyTorch Lightning, whose weights are read where the rest of the file needs code.

An old one holds classes of its callbacks beside the weights, which `weights_only=True` refuses.
Each class and function that torch does not know is replaced by one of this module that does
nothing, so that nothing that the file names is imported or called; then the same reader is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deft.storage import weights_only

MARKS = ("state_dict", "pytorch-lightning_version")


class Inert:
    """Stands for a class or a function that is not known: it takes anything, and keeps nothing."""

    def __new__(cls, *_: object, **__: object) -> Inert:
        return object.__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


def contents(path: str | Path) -> object:
    """As `weights_only.contents`; of a file of Lightning that needs code, what needs none.

    Raises `CheckpointError` as that does, and for a file that needs code and is none of Lightning.
    """
    try:
        return weights_only.contents(path)
    except weights_only.NeedsCode:
        found = _without_code(Path(path))
        if not isinstance(found, Mapping) or not all(mark in found for mark in MARKS):
            raise
        return {"state_dict": found["state_dict"]}


def _without_code(path: Path) -> object:
    """What a file holds, with something inert for each thing that needs code; None where it cannot
    be read so.
    """
    import torch
    from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

    try:
        names = get_unsafe_globals_in_checkpoint(path)
        with safe_globals([(type("Inert", (Inert,), {}), name) for name in names]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # the unpickler raises many kinds; who asked raises what it was refused for
        return None
