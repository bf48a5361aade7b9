"""Tensors with a JSON card in one safetensors file: written in one step, and every way in which one can be damaged told apart."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from deft.errors import CheckpointError
from deft.storage.atomic import atomic
from deft.storage.claims import as_recorded as as_recorded

_MAX_HEADER = 100_000_000


def write_tensors(path: Path, tensors: Mapping[str, Tensor], card: Mapping[str, object], kind: str) -> None:
    """One safetensors file; `card` goes into its metadata as JSON, `kind` says what the file is. Raises `CheckpointError` where the disk refuses."""
    from safetensors.torch import save

    own = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    content = save(own, metadata={"kind": kind, "card": json.dumps(card)})
    try:
        with atomic(path) as file:
            file.write(content)
    except OSError as error:
        raise CheckpointError(refusal(path, error)) from error


def refusal(path: Path, error: OSError) -> str:
    """What to say when a file cannot be written."""
    kept = f"the earlier {path} is intact" if path.exists() else "no earlier one exists"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full: {path} could not be written; {kept}. Free some space and run the same call again."
    return f"{path} could not be written ({error.strerror or error}); {kept}."


def read_header(path: Path, kind: str) -> dict[str, object]:
    """The card of a file that `write_tensors` wrote, without its tensors. Raises `CheckpointError` for anything else."""
    path = Path(path)
    header, length = _header(path)
    metadata = header.get("__metadata__") or {}
    if not isinstance(metadata, dict) or metadata.get("kind") != kind:
        found = metadata.get("kind") if isinstance(metadata, dict) else None
        what = f"it is a {found}." if isinstance(found, str) and "card" in metadata else "it holds no card of this library."
        raise CheckpointError(f"{path} is a safetensors file but no {kind}: {what}")
    try:
        card = json.loads(metadata["card"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} calls itself a {kind} but its card cannot be read; it is damaged.") from error
    if length != path.stat().st_size:
        raise CheckpointError(f"{path} is truncated: it has {path.stat().st_size} bytes and should have {length}. {_ADVICE}")
    return card


def kind_of(path: Path) -> str | None:
    """What a file of this library says that it is; None for any other safetensors file. Raises `CheckpointError` for anything else."""
    metadata = _header(Path(path))[0].get("__metadata__")
    kind = metadata.get("kind") if isinstance(metadata, dict) else None
    return kind if isinstance(kind, str) else None


_ADVICE = "Copy it again from where it came from, or delete it."


def _header(path: Path) -> tuple[dict, int]:
    """The JSON header of a safetensors file, and the length that the file should have."""
    try:
        with open(path, "rb") as file:
            start = file.read(8)
            if not start:
                raise CheckpointError(f"{path} is empty. {_ADVICE}")
            size = int.from_bytes(start, "little")
            text = file.read(min(size, _MAX_HEADER))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist.") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror or error}).") from error
    if text[:1] != b"{" or size > _MAX_HEADER:
        if start[:4] == b"PK\x03\x04" or start[:1] == b"\x80":
            raise CheckpointError(
                f"{path} is a pickle or a torch .pt file; checkpoints of this library are safetensors files. Its weights alone can be read "
                "with deft.training.checkpoint.read_weights."
            )
        raise CheckpointError(f"{path} is no safetensors file. {_ADVICE}")
    if len(text) < size:
        raise CheckpointError(f"{path} is truncated within its header. {_ADVICE}")
    try:
        header = json.loads(text)
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise CheckpointError(f"{path} is no safetensors file, or a damaged one. {_ADVICE}") from error
    return header, 8 + size + max(ends, default=0)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises `CheckpointError` where it is damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(str(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as safetensors: {error}. {_ADVICE}") from error
