"""The header of a safetensors file of this library, verified: its kind, its card and its hash.

The file is mapped into memory. Its hash is taken over the header, the card and the tensors, with
zeros where the hash itself stands (deft.storage.tensors); nothing is built before it is right.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from deft.errors import CheckpointError, InvalidInput
from deft.storage.bounded_json import parsed
from deft.storage.compound_fields import Object

FORMAT = 2
SEAL = "0" * 64
_MAX_HEADER = 100_000_000
ADVICE = "copy it again from where it came from, or delete it"


@final
@dataclass(frozen=True)
class Header:
    """What a file says before its tensors: its kind, its card, the shape and type of each tensor;
    `sealed` is False for a file of version 0.1, which has no hash.
    """

    kind: str
    card: dict[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    sealed: bool


def verified(
    path: Path, content: bytes | mmap.mmap, kind: str | None, fields: Object | None
) -> Header:
    """The header of a file with this content. Raises `CheckpointError` for a damaged or foreign
    file, for one of another kind than asked for, and for a card that `fields` refuse.
    """
    table, length = json_header(path, content)
    metadata = table.get("__metadata__")
    metadata = metadata if isinstance(metadata, dict) else {}
    found = metadata.get("kind")
    if not isinstance(found, str) or (kind is not None and found != kind):
        what = (
            f"it is a {found}"
            if isinstance(found, str) and {"card", "architecture"} & set(metadata)
            else "it holds no card of this library"
        )
        raise CheckpointError(
            f"{path} is a safetensors file but no {kind or 'file of this library'}: {what}."
        )
    if length != len(content):
        raise CheckpointError(
            f"{path} is truncated: it has {len(content)} bytes and should have {length}",
            advice=ADVICE,
        )
    seal = metadata.get("sha256")
    if seal is not None and not _intact(content, seal):
        raise CheckpointError(
            f"{path} is damaged: its content does not have the hash that it was written with",
            advice=ADVICE,
        )
    try:
        card = _card(metadata)
        if seal is None and card.get("format", 1) != 1:
            raise CheckpointError(
                f"{path} is damaged: a file of format {card.get('format')} has a hash, and this "
                "one has none",
                advice=ADVICE,
            )
        _check_format(path, card)
        if fields is not None:
            fields.check("card", card)
    except InvalidInput as error:
        raise CheckpointError(
            f"the card of {path}: {error.what}",
            given=error.given,
            expected=error.expected,
            advice=error.advice,
        ) from error
    shapes = {
        name: tuple(entry["shape"]) for name, entry in table.items() if name != "__metadata__"
    }
    return Header(found, card, shapes, seal is not None)


def _card(metadata: Mapping[str, object]) -> dict[str, Any]:
    """The card of a file; that of a prior of version 0.1 was its architecture alone."""
    text = metadata.get("card", metadata.get("architecture"))
    if not isinstance(text, str):
        raise InvalidInput("card", given=text, expected="JSON text", advice="the file is damaged")
    card = parsed(text, "card")
    if not isinstance(card, dict):
        raise InvalidInput("card", given=card, expected="an object")
    return card if "card" in metadata else {"architecture": card, "format": 1}


def _check_format(path: Path, card: Mapping[str, object]) -> None:
    version = card.get("format", 1)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise CheckpointError(
            f"{path}: format",
            given=version,
            expected=f"a whole number from 1 to {FORMAT}",
            advice="the file is damaged",
        )
    if version > FORMAT:
        raise CheckpointError(
            f"{path} has format {version} and this version of the library reads up to {FORMAT}; "
            "update deft-diffusion."
        )


def _intact(content: bytes | mmap.mmap, seal: object) -> bool:
    if not isinstance(seal, str) or len(seal) != len(SEAL):
        return False
    place = seal_at(content, seal)
    if place < 0:
        return False
    digest = hashlib.sha256(content[:place])
    digest.update(SEAL.encode())
    with memoryview(content) as view:
        digest.update(view[place + len(SEAL) :])
    return digest.hexdigest() == seal


def seal_at(content: bytes | bytearray | mmap.mmap, seal: str) -> int:
    """Where the hash stands in the header: behind its name, and nowhere else."""
    name = b'"sha256":"'
    size = 8 + int.from_bytes(content[:8], "little")
    place = content.find(name + seal.encode(), 0, size)
    return place + len(name) if place >= 0 and content.find(name, place + 1, size) < 0 else -1


def mapped(path: Path) -> mmap.mmap:
    """A file, mapped into memory. Raises `CheckpointError` where it is missing or empty."""
    try:
        with open(path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist.") from error
    except ValueError as error:  # nothing to map
        raise CheckpointError(f"{path} is empty", advice=ADVICE) from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror or error}).") from error


def json_header(path: Path, content: bytes | mmap.mmap) -> tuple[dict[str, Any], int]:
    """The JSON header of a safetensors file, and the length that the file should have. Raises
    `CheckpointError` for any other file.
    """
    size = int.from_bytes(content[:8], "little")
    text = content[8 : 8 + min(size, _MAX_HEADER)]
    if text[:1] != b"{" or size > _MAX_HEADER:
        if content[:4] == b"PK\x03\x04" or content[:1] == b"\x80":
            raise CheckpointError(
                f"{path} is a pickle or a torch .pt file; checkpoints of this library are "
                "safetensors files. Its weights alone can be read "
                "with deft.training.places.read_weights."
            )
        raise CheckpointError(f"{path} is no safetensors file", advice=ADVICE)
    if len(text) < size:
        raise CheckpointError(f"{path} is truncated within its header", advice=ADVICE)
    try:
        table = json.loads(text)
        entries = {name: entry for name, entry in table.items() if name != "__metadata__"}
        ends = [
            entry["data_offsets"][1]
            for entry in entries.values()
            if tuple(entry["shape"]) is not None
        ]
        length = 8 + size + max(ends, default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is no safetensors file, or a damaged one", advice=ADVICE
        ) from error
    return table, length
