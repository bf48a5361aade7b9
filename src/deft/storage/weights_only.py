"""Checkpoints of other programs, of which weights alone are read.

A `.pt` file is a pickle, and a pickle can call any function. torch's reader with
`weights_only=True` builds tensors, numbers, texts, lists and dictionaries, and refuses all else
before it is called.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from deft.errors import CheckpointError
from deft.storage import tensors

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".pkl")
INSIDE = ("state_dict", "model", "ema", "params")
_AGAIN = "download it again, or copy it from where it came"
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")


class NeedsCode(CheckpointError):
    """A pickle that asks for a function or a class, which is not called."""


def contents(path: str | Path) -> object:
    """What a `.pt` file or a safetensors file holds. Raises `CheckpointError` for one that is
    missing, cut short, something else, or that needs code, with the name that it asks for.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            head = file.read(64)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist.") from error
    except PermissionError as error:
        raise CheckpointError(f"{path} cannot be read: permission denied.") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror or error}).") from error
    if path.suffix == ".safetensors":
        return tensors.foreign(path)
    _check_head(path, head)
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises many kinds
        found = _GLOBAL.search(str(error))
        if found:
            raise NeedsCode(
                f"{path} holds more than weights, which is not executed",
                given=f"a pickle that needs the code of {found[1]}",
                expected="tensors, numbers, texts, lists and dictionaries",
                advice="where you trust it, load it with the program that wrote it, and save its "
                "state_dict() alone, as safetensors",
            ) from error
        first = str(error).splitlines()[0] if str(error) else repr(error)
        raise CheckpointError(
            f"{path} is damaged, or holds more than weights, which is not executed: {first}",
            advice=_AGAIN,
        ) from error


def named(path: str | Path, content: object, inside: tuple[str, ...] = INSIDE) -> dict[str, Tensor]:
    """The dictionary of tensors in `contents`: at the top, or under one of `inside`, the first that
    is there.

    Raises `CheckpointError` where there is none, or a tensor claims more memory than it brings.
    """
    from torch import Tensor

    given = content
    while isinstance(content, Mapping) and not any(
        isinstance(value, Tensor) for value in content.values()
    ):
        found = [name for name in inside if isinstance(content.get(name), Mapping)]
        if not found:
            break
        content = content[found[0]]
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(isinstance(value, Tensor) for value in content.values())
    ):
        what = ", ".join(map(str, given)) if isinstance(given, Mapping) else type(given).__name__
        raise CheckpointError(
            f"{path} holds no dictionary of tensors, nor one under {', '.join(inside[:-1])} or "
            f"{inside[-1]}; it holds {what or 'nothing'}."
        )
    for name, value in content.items():
        if value.untyped_storage().nbytes() < value.numel() * value.element_size():
            raise CheckpointError(
                f"{path}: {name}",
                given=f"a tensor {tuple(value.shape)} that shares its memory with itself",
                expected="one that brings all of its values",
            )
    return {str(name): value for name, value in content.items()}


def _check_head(path: Path, head: bytes) -> None:
    """Raise `CheckpointError` for what is no pickle of torch, and for one that was cut short."""
    if not head:
        raise CheckpointError(f"{path} is empty", advice=_AGAIN)
    if head.startswith(b"version https://git-lfs"):
        raise CheckpointError(
            f"{path} is a pointer of Git LFS, not the weights", advice="run git lfs pull"
        )
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise CheckpointError(f"{path} is a web page, not the weights", advice=_AGAIN)
    if head.startswith(b"PK\x03\x04"):
        if not zipfile.is_zipfile(path):  # the table of contents stands at the end
            raise CheckpointError(
                f"{path} is truncated: {path.stat().st_size} bytes, and its table of contents, "
                "which stands at the end, is missing",
                advice=_AGAIN,
            )
    elif not head.startswith(b"\x80"):
        raise CheckpointError(
            f"{path} is damaged: neither a .pt nor a safetensors file", advice=_AGAIN
        )
