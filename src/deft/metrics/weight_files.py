"""Files of weights that the user gives: their SHA-256, and the tensors in them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from deft.errors import CheckpointError, InvalidInput
from deft.storage.fingerprint import of_file


def file_sha256(path: str | Path) -> str:
    """The SHA-256 of a file. Raises `InvalidInput` where it is not there."""
    _check_there(path)
    return of_file(path)


def _check_there(path: str | Path) -> None:
    if not Path(path).is_file():
        raise InvalidInput(
            f"there is no weights file {path}; nothing is downloaded, give the path of a file "
            "that is there."
        )


def read_state(path: str | Path) -> dict[str, Tensor]:
    """A state dict from safetensors or from a `.pt` file of tensors alone."""
    _check_there(path)
    try:
        if Path(path).suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(str(path))
        result: dict[str, Tensor] = torch.load(str(path), map_location="cpu", weights_only=True)
        return result
    except Exception as error:
        raise CheckpointError(
            f"{path} is not a state dict of tensors (safetensors, or a .pt of tensors alone): "
            f"{error}"
        ) from error
