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
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from deft.errors import CheckpointError, InvalidInput
from deft.storage.atomic import atomic
from deft.storage.bounded_json import parsed
from deft.storage.fields import Object

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 2
_SEAL = "0" * 64
_MAX_HEADER = 100_000_000
_ADVICE = "copy it again from where it came from, or delete it"


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
    content = bytearray(save(own, metadata={"kind": kind, "card": text, "sha256": _SEAL}))
    place = _seal_at(content, _SEAL)
    content[place : place + len(_SEAL)] = hashlib.sha256(content).hexdigest().encode()
    return bytes(content)


def header(path: str | Path, kind: str | None = None, fields: Object | None = None) -> Header:
    """The card of a file, whose hash is verified; no tensor is built. Raises `CheckpointError` for
    a damaged or foreign file, or one of another kind than asked for.
    """
    path = Path(path)
    with _mapped(path) as content:
        return _verified(path, content, kind, fields)


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
    found = _verified(path, content, kind, fields)
    try:
        tensors = load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{path} cannot be read as safetensors: {error}", advice=_ADVICE
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
        _verified(path, content, None, None)
    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{path} cannot be read as safetensors: {error}", advice=_ADVICE
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
    with _mapped(path) as content:
        metadata = _table(path, content)[0].get("__metadata__")
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


def _verified(
    path: Path, content: bytes | mmap.mmap, kind: str | None, fields: Object | None
) -> Header:
    table, length = _table(path, content)
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
            advice=_ADVICE,
        )
    seal = metadata.get("sha256")
    if seal is not None and not _intact(content, seal):
        raise CheckpointError(
            f"{path} is damaged: its content does not have the hash that it was written with",
            advice=_ADVICE,
        )
    try:
        card = _card(metadata)
        if seal is None and card.get("format", 1) != 1:
            raise CheckpointError(
                f"{path} is damaged: a file of format {card.get('format')} has a hash, and this "
                "one has none",
                advice=_ADVICE,
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
    if not isinstance(seal, str) or len(seal) != len(_SEAL):
        return False
    place = _seal_at(content, seal)
    if place < 0:
        return False
    digest = hashlib.sha256(content[:place])
    digest.update(_SEAL.encode())
    with memoryview(content) as view:
        digest.update(view[place + len(_SEAL) :])
    return digest.hexdigest() == seal


def _seal_at(content: bytes | bytearray | mmap.mmap, seal: str) -> int:
    """Where the hash stands in the header: behind its name, and nowhere else."""
    name = b'"sha256":"'
    size = 8 + int.from_bytes(content[:8], "little")
    place = content.find(name + seal.encode(), 0, size)
    return place + len(name) if place >= 0 and content.find(name, place + 1, size) < 0 else -1


def _mapped(path: Path) -> mmap.mmap:
    try:
        with open(path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist.") from error
    except ValueError as error:  # nothing to map
        raise CheckpointError(f"{path} is empty", advice=_ADVICE) from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror or error}).") from error


def _bytes(path: Path) -> bytes:
    with _mapped(path) as content:
        return content[:]


def _table(path: Path, content: bytes | mmap.mmap) -> tuple[dict[str, Any], int]:
    """The JSON header of a safetensors file, and the length that the file should have."""
    size = int.from_bytes(content[:8], "little")
    text = content[8 : 8 + min(size, _MAX_HEADER)]
    if text[:1] != b"{" or size > _MAX_HEADER:
        if content[:4] == b"PK\x03\x04" or content[:1] == b"\x80":
            raise CheckpointError(
                f"{path} is a pickle or a torch .pt file; checkpoints of this library are "
                "safetensors files. Its weights alone can be read "
                "with deft.training.checkpoint.read_weights."
            )
        raise CheckpointError(f"{path} is no safetensors file", advice=_ADVICE)
    if len(text) < size:
        raise CheckpointError(f"{path} is truncated within its header", advice=_ADVICE)
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
            f"{path} is no safetensors file, or a damaged one", advice=_ADVICE
        ) from error
    return table, length
