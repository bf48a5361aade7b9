"""What a client and a server of a prior send each other: tensors as a safetensors body.

    8 bytes                the length n of the header, little endian
    n bytes                JSON: {name: {"dtype": .., "shape": [..], "data_offsets": [begin, end]}}
    the rest               the tensors, one behind the other, without gaps

A body comes from a stranger. Lengths, types, shapes and offsets are checked against each other
before a tensor is built, so that a body needs no more memory than its own length.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.storage.bounded_json import parsed
from deft.storage.compound_fields import Items, Object
from deft.storage.fields import Choice, Whole

MEDIA_TYPE = "application/octet-stream"
HEADER = 1 << 16
"""The longest header, in bytes."""
TYPES: dict[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "BOOL": torch.bool,
}
_MOST = 16  # tensors of one body
_ENTRY = Object(
    {
        "dtype": Choice(tuple(TYPES)),
        "shape": Items(Whole(1, 1 << 40), 0, 8),
        "data_offsets": Items(Whole(0, 1 << 40), 2, 2),
    },
    ("dtype", "shape", "data_offsets"),
)


def packed(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors as a body."""
    from safetensors.torch import save

    own = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    content: bytes = save(own)
    return content


def unpacked(body: bytes | bytearray) -> dict[str, Tensor]:
    """The tensors of a body. Raises `InvalidInput` for one that is damaged, or is none."""
    size = int.from_bytes(body[:8], "little")
    if len(body) < 8 or not 2 <= size <= min(HEADER, len(body) - 8):
        raise InvalidInput(
            "body",
            given=f"{len(body)} bytes whose header says that it is {size} bytes long"
            if len(body) >= 8
            else f"{len(body)} bytes",
            expected=f"a safetensors file, with a header of at most {HEADER:,} bytes",
        )
    table = parsed(bytes(body[8 : 8 + size]), "body: header")
    if not isinstance(table, dict):
        raise InvalidInput("body: header", given=table, expected="an object, with a tensor by name")
    entries = {name: entry for name, entry in table.items() if name != "__metadata__"}
    if not 1 <= len(entries) <= _MOST:
        raise InvalidInput(
            "body", given=f"{len(entries)} tensors", expected=f"from 1 to {_MOST} of them"
        )
    for name, entry in entries.items():
        _ENTRY.check(f"body: {name}", entry)
    found: dict[str, Tensor] = {}
    place, start = 0, 8 + size
    for name, entry in sorted(entries.items(), key=lambda pair: pair[1]["data_offsets"]):
        length = math.prod(entry["shape"]) * TYPES[entry["dtype"]].itemsize
        if entry["data_offsets"] != [place, place + length]:
            raise InvalidInput(
                f"body: {name}",
                given=f"data_offsets {entry['data_offsets']}",
                expected=f"{[place, place + length]}, by its type, its shape and what is before it",
            )
        place += length
        if start + place > len(body):
            break
        found[name] = _tensor(name, entry, body[start + place - length : start + place])
    if start + place != len(body):
        raise InvalidInput(
            "body",
            given=f"{len(body)} bytes",
            expected=f"{start + place}, by its header",
            advice="it was cut, or something was added",
        )
    return found


def check_finite(name: str, value: Tensor) -> None:
    """Raise `InvalidInput` where a tensor holds NaN or infinite numbers."""
    if value.is_floating_point() and not bool(value.isfinite().all()):
        raise InvalidInput(name, given="NaN or infinite numbers", expected="finite numbers")


def _tensor(name: str, entry: Mapping[str, Any], content: bytes | bytearray) -> Tensor:
    dtype = TYPES[entry["dtype"]]
    if dtype == torch.bool and max(content, default=0) > 1:
        raise InvalidInput(f"body: {name}", given="a byte above 1", expected="0 or 1: it is BOOL")
    return torch.frombuffer(bytearray(content), dtype=dtype).reshape(entry["shape"])
