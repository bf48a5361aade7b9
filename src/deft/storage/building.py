"""Objects from cards that were checked (deft.storage.cards): the class of a name, called with the
arguments of the card, nested cards first.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from deft.errors import InvalidInput
from deft.storage.compound_fields import Items, Part
from deft.storage.fields import Field
from deft.storage.schema import fields_of
from deft.storage.table import KINDS

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def built(card: object, kinds: Sequence[str], given: Mapping[str, object]) -> Any:
    """The object that a card of one of these kinds describes; `given` are arguments that come from
    elsewhere. Raises `InvalidInput` where an argument is missing, or given twice.
    """
    name, args = parts(card, "the card")
    kind = next((kind for kind in kinds if name in KINDS[kind].homes), None)
    cls = _own(name, kinds) if kind is None else KINDS[kind].find(name)
    fields = {} if kind is None else fields_of(kind, name)
    parameters = inspect.signature(cls).parameters
    twice = [argument for argument in args if argument in given and argument in parameters]
    if twice:
        raise InvalidInput(
            f"{name}.{twice[0]}", given=args[twice[0]], expected="nothing: it comes with the prior"
        )
    passed = {argument: value for argument, value in given.items() if argument in parameters}
    missing = [
        p.name
        for p in parameters.values()
        if p.default is p.empty and p.kind in _NAMED and p.name not in {**args, **passed}
    ]
    if missing:
        raise InvalidInput(
            f"{name} needs {', '.join(missing)}; got {', '.join(args) or 'nothing'}."
        )
    return cls(
        **passed,
        **{
            argument: _value(value, fields.get(argument), given) for argument, value in args.items()
        },
    )


def _own(name: str, kinds: Sequence[str]) -> type:
    """A class of the user's own, whose module was allowed."""
    module, _, last = name.rpartition(".")
    try:
        found = getattr(import_module(module), last, None)
    except ImportError as error:
        raise InvalidInput(
            "class",
            given=name,
            expected="a class that can be imported here",
            advice=f"importing it said: {error}",
        ) from error
    bases = tuple(KINDS[kind].base_class() for kind in kinds)
    if not (isinstance(found, type) and issubclass(found, bases)) or inspect.isabstract(found):
        raise InvalidInput(
            "class",
            given=name,
            expected=f"a {' or '.join(kinds)}, derived from "
            f"{' or '.join(KINDS[k].base for k in kinds)}",
        )
    return found


def _value(value: object, field: Field | None, given: Mapping[str, object]) -> Any:
    """An argument as Python writes it: a nested card as its object, a list as a tuple."""
    if isinstance(value, Mapping) and "class" in value:
        nested = [part.kinds for part in field.parts() if isinstance(part, Part)] if field else []
        return built(value, nested[0] if nested else tuple(KINDS), given)
    if isinstance(value, list):  # cards are built where the field says that its items are such
        items = [part for part in field.parts() if isinstance(part, Items)] if field else []
        return tuple(_value(item, items[0].of, given) if items else item for item in value)
    return value


def parts(card: object, where: str) -> tuple[str, Mapping[str, object]]:
    """The name of the class and its arguments. Raises `InvalidInput` for what is no card."""
    if (
        not isinstance(card, Mapping)
        or set(card) - {"class", "args"}
        or not isinstance(card.get("class"), str)
    ):
        raise InvalidInput(
            where, given=card, expected='an object {"class": NAME, "args": {...}} and nothing else'
        )
    args = card.get("args") or {}
    if not isinstance(args, Mapping) or not all(isinstance(name, str) for name in args):
        raise InvalidInput(f"{where}: args", given=args, expected="an object")
    return card["class"], args
