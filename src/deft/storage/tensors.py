"""Tensors with a card in one safetensors file, sealed by a hash.

    metadata
        kind, card (JSON), sha256: the hash of the whole file, header, card and tensors,
            with zeros where the hash itself stands

The hash is verified whenever the file is read, so that a file that was damaged anywhere is refused.
It guards against damage, not against forgery: whoever writes a file can seal it. Files of version
0.1 (format 1) have no hash and are still read. No pickle is ever written, and none is executed.
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from deft.errors import CheckpointError
from deft.storage.atomic import atomic
from deft.storage.compound_fields import Object
from deft.storage.headers import (
    ADVICE,
    FORMAT,
    SEAL,
    Header,
    json_header,
    mapped,
    seal_at,
    verified,
)

if TYPE_CHECKING:
    from torch import Tensor


def write(path: Path, tensors: Mapping[str, Tensor], card: Mapping[str, object], kind: str) -> None:
    """One sealed file, replaced in one step. Raises `CheckpointError` where the disk refuses; an
    earlier file is then intact.
    """
    content = sealed_bytes(tensors, card, kind)
    try:
        with atomic(path) as file:
            file.write(content)
    except OSError as error:
        raise CheckpointError(refusal(path, error)) from error


def sealed_bytes(tensors: Mapping[str, Tensor], card: Mapping[str, object], kind: str) -> bytes:
    """The content of a file: written with zeros in place of the hash, which then takes their
    place.
    """
    from safetensors.torch import save

    own = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    text = json.dumps({**card, "format": FORMAT}, allow_nan=False)
    content = bytearray(save(own, metadata={"kind": kind, "card": text, "sha256": SEAL}))
    place = seal_at(content, SEAL)
    content[place : place + len(SEAL)] = hashlib.sha256(content).hexdigest().encode()
    return bytes(content)


def header(path: str | Path, kind: str | None = None, fields: Object | None = None) -> Header:
    """The card of a file, whose hash is verified; no tensor is built. Raises `CheckpointError` for
    a damaged or foreign file, or one of another kind than asked for.
    """
    path = Path(path)
    with mapped(path) as content:
        return verified(path, content, kind, fields)


def read(
    path: str | Path, kind: str, fields: Object | None = None
) -> tuple[dict[str, Tensor], Header]:
    """The tensors and the card of a file, all verified. Raises `CheckpointError` for anything
    damaged, foreign, of another kind, or not finite (with the name of the tensor).
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = Path(path)
    content = _bytes(path)
    found = verified(path, content, kind, fields)
    try:
        tensors = load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{path} cannot be read as safetensors: {error}", advice=ADVICE
        ) from error
    finite(path, tensors)
    return tensors, found


def foreign(path: str | Path) -> dict[str, Tensor]:
    """The tensors of any safetensors file, which has no hash unless it is one of this library's.
    Raises `CheckpointError` where it is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = Path(path)
    content = _bytes(path)
    if kind_of(path) is not None:
        verified(path, content, None, None)
    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{path} cannot be read as safetensors: {error}", advice=ADVICE
        ) from error


def finite(path: str | Path, tensors: Mapping[str, Tensor]) -> None:
    """Raise `CheckpointError`, with their names, where tensors hold NaN or infinite values."""
    broken = [
        name
        for name, value in tensors.items()
        if value.is_floating_point() and not bool(value.isfinite().all())
    ]
    if broken:
        more = f" and {len(broken) - 5} more" if len(broken) > 5 else ""
        raise CheckpointError(
            f"{path}",
            given=f"NaN or infinite values in {', '.join(broken[:5])}{more}",
            expected="finite weights",
            advice="get an intact copy, or train again",
        )


def kind_of(path: str | Path) -> str | None:
    """What a file of this library says that it is; None for any other safetensors file. Raises
    `CheckpointError` for anything else.
    """
    path = Path(path)
    with mapped(path) as content:
        metadata = json_header(path, content)[0].get("__metadata__")
    kind = metadata.get("kind") if isinstance(metadata, dict) else None
    return kind if isinstance(kind, str) else None


def refusal(path: Path, error: OSError) -> str:
    """What to say when a file cannot be written."""
    kept = f"the earlier {path} is intact" if path.exists() else "no earlier one exists"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"the disk is full: {path} could not be written; {kept}. Free some space and run the "
            "same call again."
        )
    return f"{path} could not be written ({error.strerror or error}); {kept}."


def _bytes(path: Path) -> bytes:
    with mapped(path) as content:
        return content[:]
