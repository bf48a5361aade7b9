"""What a card may hold: the fields of each class, checked before anything is built or allocated.

The fields of a class follow from the annotations of its constructor; how large a number may be,
from the name of the argument (`LIMITS`).
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from deft.storage.compound_fields import Items, OneOf, Part
from deft.storage.fields import Choice, Field, Flag, Folder, Function, Nothing, Real, Text, Whole
from deft.storage.table import KINDS

_MOST_ENTRIES = 1 << 28  # of one signal


_SIZES = Items(Whole(1, 1 << 20), 1, 4, product=_MOST_ENTRIES)
LIMITS: dict[str, Field] = {
    "event_shape": _SIZES,
    "channels": Items(Whole(1, 1 << 14), 1, 16),
    "attention": Items(Flag(), 0, 16),
    "blocks": Whole(0, 64),
    "patch": Whole(1, 256),
    "fine": Whole(0, 1 << 14),
    "gains": Whole(0, 10_000),
    "depth": Whole(0, 256),
    "anchors": Whole(0, 1 << 16),
    "frequencies": Whole(0, 1024),
    "levels": Whole(1, 10_000),
    "betas": Items(Real(0, 1), 2, 100_000),
}
"""How large an argument of this name may be, whatever its class."""

WHOLE: dict[str, Whole] = {
    "size": Whole(1, 1 << 12),
    "factor": Whole(1, 1 << 12),
    "views": Whole(1, 20_000),
    "detectors": Whole(1, 20_000),
    "iterations": Whole(0, 1 << 20),
    "restarts": Whole(1, 1 << 14),
    "width": Whole(1, 1 << 16),
}
"""The same for arguments that are whole numbers in some classes and something else in others."""

_CALLED = {
    ("BlackBox", "function"): Function(),
    ("BlackBox", "lift"): Function(),
    ("BlackBox", "parameters"): Function(),
    ("Deepinv", "physics"): Function(needs=("deepinv",)),
    ("Deepinv", "parameters"): Function(needs=("deepinv",)),
    ("MaskFiles", "folder"): Folder(),
}


@cache
def fields_of(kind: str, name: str) -> Mapping[str, Field]:
    """The fields of a class of the table, by the names of its arguments; what a tensor or a
    function of Python's is has no place on a card and is left out.
    """
    return fields_of_class(KINDS[kind].find(name), name)


def fields_of_class(cls: type, name: str) -> Mapping[str, Field]:
    """The fields of any class, from the annotations of its constructor."""
    found: dict[str, Field] = {}
    for argument, hint in _hints(cls).items():
        field = LIMITS.get(argument) or _field(argument, hint, _CALLED.get((name, argument)))
        if field is not None:
            found[argument] = field
    return found


def _hints(cls: type) -> dict[str, Any]:
    hints = typing.get_type_hints(cls.__init__)  # type: ignore[misc]
    hints.pop("return", None)
    flat: dict[str, Any] = {}
    for argument, hint in hints.items():
        inner = typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Unpack else None
        flat |= typing.get_type_hints(inner) if inner is not None else {argument: hint}
    return flat


def _field(argument: str, hint: Any, called: Field | None) -> Field | None:
    """The field of an annotation, or None for one that no card can hold."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        fields = tuple(
            field for part in inside if (field := _field(argument, part, called)) is not None
        )
        return OneOf(fields) if len(fields) > 1 else (fields[0] if fields else None)
    if origin is typing.Literal and all(isinstance(value, str) for value in inside):
        return Choice(inside)
    if hint is str:
        return called or Text(200)
    simple: dict[Any, Callable[[], Field]] = {
        bool: Flag,
        float: Real,
        type(None): Nothing,
        int: lambda: WHOLE.get(argument, Whole()),
    }
    if hint in simple:
        return simple[hint]()
    if origin is tuple and Ellipsis not in inside:
        each = _field(argument, inside[0], None)
        return Items(each, len(inside), len(inside)) if each else None
    if origin in (list, tuple, Sequence) and inside:
        each = _field(argument, inside[0], None)
        return Items(each) if each else None
    kinds = tuple(
        kind.name
        for kind in KINDS.values()
        if isinstance(hint, type) and issubclass(hint, kind.base_class())
    )
    return Part(kinds) if kinds else None
