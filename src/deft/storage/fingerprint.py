"""One hash: SHA-256, of files, of tensors, and of anything that can be written as JSON.

    fingerprint(a, b, ...) = SHA-256 of (kind, shape, length, content) of each part

Every part is written with its kind and its length, so that different parts never give the same
bytes. What checkpoints record of a prior and of data (`of_state`, `of_values`) are hashes of values
in half precision, so that a network and its fp16 file are the same network.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

_SHORT = 16  # hexadecimal digits that a card shows


def digest(*parts: bytes | str) -> str:
    """The SHA-256 of the parts one after the other, in hexadecimal digits."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part.encode() if isinstance(part, str) else part)
    return found.hexdigest()


def fingerprint(*parts: object) -> str:
    """The hash of tensors, arrays, bytes, text, and of anything that JSON can hold: 64 hexadecimal
    digits. Tensors count with their type and shape.
    """
    found = hashlib.sha256()
    for part in parts:
        kind, content = _written(part)
        found.update(f"{kind} {len(content)}\n".encode())
        found.update(content)
    return found.hexdigest()


def of_file(path: str | Path) -> str:
    """The SHA-256 of a file's bytes. Raises OSError where it cannot be read."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_values(value: Tensor) -> str:
    """The hash of a tensor's shape and its values in half precision, shortened to 16 hexadecimal
    digits.
    """
    return digest(f"{tuple(value.shape)}", value.detach().cpu().half().numpy().tobytes())[:_SHORT]


def of_state(module: nn.Module) -> str:
    """The hash of a module's state (names, shapes and values in half precision), shortened to 16
    hexadecimal digits.
    """
    return of_named(module.state_dict())


def of_named(tensors: Mapping[str, Tensor], *, start: str = "", between: str = "") -> str:
    """The hash of named tensors in half precision, whole numbers as they are, in the order of their
    names; shortened to 16 hexadecimal digits.
    """
    found = hashlib.sha256(start.encode())
    for name, value in sorted(tensors.items()):
        found.update(f"{name}{between}{tuple(value.shape)}".encode())
        found.update(in_half(value))
    return found.hexdigest()[:_SHORT]


def in_half(value: Tensor) -> bytes:
    """The bytes of a tensor's values, floating-point ones in half precision."""
    value = value.detach().cpu()
    return (value.half() if value.is_floating_point() else value).numpy().tobytes()


def _written(part: object) -> tuple[str, bytes]:
    """What is hashed of a part: its kind and its content."""
    if isinstance(part, (bytes, bytearray)):
        return "bytes", bytes(part)
    if isinstance(part, str):
        return "text", part.encode()
    if hasattr(part, "detach"):
        import torch

        value: Any = part
        value = value.detach().cpu().contiguous()
        plain = value.reshape(-1).view(torch.uint8) if value.numel() else value
        return (
            f"tensor {str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}",
            plain.numpy().tobytes() if value.numel() else b"",
        )
    if hasattr(part, "tobytes") and hasattr(part, "dtype"):
        array: Any = part
        return f"tensor {array.dtype} {tuple(array.shape)}", array.tobytes()
    return "json", json.dumps(part, sort_keys=True, default=str).encode()
