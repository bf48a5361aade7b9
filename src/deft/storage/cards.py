"""The one codec of cards: objects as plain values, and back.

    written:
        {"class": "Inpainting", "args": {"masks": {"class": "BoxMasks", "args": {"fraction": 0.5,
            "centred": true}}, "sigma_y": 0.05}}

A class goes by its public name (deft.storage.table), one of the user's own by its dotted path.
Reading checks names, types, ranges and sizes (deft.storage.schema) before anything is built.
Nothing that a file says is imported, called or opened, but for what the user allows in that call:
`allow` names modules, whose classes and functions are then taken from the file, and folders, whose
mask files are then read.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from deft.errors import InvalidInput, nearest_names, shown
from deft.storage.building import built, parts
from deft.storage.compound_fields import Items, Part, Plain
from deft.storage.fields import Field, Folder, Function
from deft.storage.schema import fields_of
from deft.storage.table import KINDS, modern, public_name

Allow = Collection[str] | str
LEARNED = (
    "BackboneHTransform",
    "Calibrated",
    "ConditionalScore",
    "FlatHTransform",
    "LearnedHTransform",
    "PaperHTransform",
)


def card_of(value: object, args: Mapping[str, object]) -> dict[str, object]:
    """The card of an object that these arguments build; nested objects that have a card are written
    as theirs, tuples as lists.
    """
    return {
        "class": public_name(type(value)),
        "args": {name: plain(item) for name, item in args.items()},
    }


def plain(value: object) -> object:
    """A value as JSON gives it back."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return value.tolist()
    card = getattr(value, "card", None)
    return plain(card()) if callable(card) and not isinstance(value, type) else value


def names(allow: Allow) -> tuple[str, ...]:
    """What the user allows, as given: one name or several."""
    return (allow,) if isinstance(allow, str) else tuple(allow)


def build(
    card: object,
    kind: str,
    *,
    allow: Allow = (),
    where: str = "the card",
    given: Mapping[str, object] | None = None,
) -> Any:
    """The object that a card out of a file describes.

    `kind` is what it must be ("problem", "h-transform", ...); `given` holds arguments that come
    from elsewhere and override nothing. Raises `InvalidInput` for a class that is neither in the
    table nor allowed, and for arguments of a wrong type, range or size; before anything is imported
    or built.
    """
    card = noted(card, where)
    check(card, (kind,), names(allow), where)
    return built(card, (kind,), given or {})


def noted(card: object, where: str) -> object:
    """A card with the dotted paths of version 0.1 replaced by public names, and a warning that says
    so.
    """
    fresh = modern(card)
    if fresh != card and isinstance(card, Mapping) and "class_path" in card:
        warnings.warn(
            f"{where} names classes by the dotted paths of version 0.1; it is read as before, and "
            "saving it again renews it.",
            stacklevel=3,
        )
    return fresh


def check(card: object, kinds: Sequence[str], allowed: Collection[str], where: str) -> None:
    """Raise `InvalidInput` where a card, or one within it, cannot be built: nothing is imported
    that is not in the table or allowed.
    """
    name, args = parts(card, where)
    for kind in kinds:
        if name in KINDS[kind].homes and (kind != "h-transform" or name in LEARNED):
            _check_args(fields_of(kind, name), args, allowed, f"{where}: {name}")
            return
    known = [
        known
        for kind in kinds
        for known in (LEARNED if kind == "h-transform" else KINDS[kind].homes)
    ]
    if "." not in name:
        near = nearest_names(name, known).removeprefix("; ")
        raise InvalidInput(
            f"{where}: class",
            given=name,
            expected=f"a {' or '.join(kinds)}: {', '.join(known)}",
            advice=near,
        )
    _check_allowed(
        name, allowed, f"{where}: class", near=nearest_names(name.rpartition(".")[2], known)
    )
    Plain().check(f"{where}: {name}", args)
    for argument, value in args.items():
        if isinstance(value, Mapping) and "class" in value:
            check(value, tuple(KINDS), allowed, f"{where}: {name}.{argument}")


def described(card: object) -> str:
    """`Inpainting(masks=BoxMasks(fraction=0.5), sigma_y=0.05)` for a card of a class, whichever
    version wrote it; other values as JSON writes them.
    """
    card = modern(card)
    if card is None:
        return "nothing"
    if not isinstance(card, Mapping) or "class" not in card:
        import json

        return shown(json.dumps(card))
    args = card.get("args", {name: value for name, value in card.items() if name != "class"})
    inside = (
        ", ".join(f"{name}={_described(value)}" for name, value in args.items())
        if isinstance(args, Mapping)
        else ""
    )
    return shown(f"{str(card['class']).rpartition('.')[2]}({inside})")


def _described(value: object) -> object:
    if isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value):
        return f"[{', '.join(str(_described(item)) for item in value)}]"
    return described(value) if isinstance(value, Mapping) and "class" in value else value


def function(path: str) -> Callable[..., Any]:
    """The Python function of this dotted path, written in that module; the caller knows that the
    user named it.
    """
    module_name, _, name = path.rpartition(".")
    try:
        module = import_module(module_name or "deft.problems")
    except ImportError as error:
        raise InvalidInput(
            "function",
            given=path,
            expected="the dotted path of a function in a module on the path",
            advice=f"importing it said: {error}",
        ) from error
    found = getattr(module, name, None)
    if not module_name or not inspect.isfunction(found) or found.__module__ != module.__name__:
        known = [
            key
            for key, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == module.__name__
        ]
        raise InvalidInput(
            "function",
            given=path,
            expected=f"the dotted path of a function written in that module; {module.__name__} "
            f"has {', '.join(known) or 'none'}",
            advice=nearest_names(name, known).removeprefix("; "),
        )
    return found


def _check_args(
    fields: Mapping[str, Field], args: Mapping[str, object], allowed: Collection[str], where: str
) -> None:
    if "fingerprint" in args:
        raise InvalidInput(
            where,
            given=f"a user's own operator, {shown(args.get('operator'))}",
            expected="something that a card can rebuild",
            advice="construct the operator and pass deft.problems.Fixed(operator, sigma_y) as the "
            "problem",
        )
    for name, value in args.items():
        if name not in fields:
            raise InvalidInput(
                f"{where}: unknown argument",
                given=name,
                expected=f"one of {', '.join(fields) or 'none'}",
                advice=nearest_names(name, list(fields)).removeprefix("; "),
            )
        fields[name].check(f"{where}.{name}", value)
        for field in fields[name].parts():
            _check_reach(field, value, allowed, f"{where}.{name}")


def _check_reach(field: Field, value: object, allowed: Collection[str], where: str) -> None:
    """What a field would import, open or build."""
    if not field.fits(value):
        return
    if isinstance(field, Items) and isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            for part in field.of.parts():
                _check_reach(part, item, allowed, f"{where}[{i}]")
    elif isinstance(field, Function):
        for module in field.needs:
            if module not in allowed:
                raise InvalidInput(
                    where,
                    given=value,
                    expected=f"nothing that calls {module}, unless you name it in this call",
                    advice=_trust(module),
                )
        _check_allowed(str(value), allowed, where)
    elif isinstance(field, Folder) and not any(_same_folder(str(value), name) for name in allowed):
        raise InvalidInput(
            where,
            given=value,
            expected="a folder that you name in this call",
            advice=f"to read the files in it, give allow={str(value)!r}",
        )
    elif isinstance(field, Part):
        check(value, field.kinds, allowed, where)


def _check_allowed(path: str, allowed: Collection[str], where: str, near: str = "") -> None:
    module, near = path.rpartition(".")[0], near.removeprefix("; ")
    if not all(part.isidentifier() for part in path.split(".")):
        raise InvalidInput(where, given=path, expected="a dotted path, module.Name")
    if module == "deft" or module.startswith("deft."):
        raise InvalidInput(where, given=path, expected="a class of this library", advice=near)
    if not any(module == name or module.startswith(f"{name}.") for name in allowed):
        trust = _trust(module.partition(".")[0])
        raise InvalidInput(
            where,
            given=path,
            expected="something of this library, or of a module that you name in this call",
            advice=trust,
        )


def _trust(module: str) -> str:
    return (
        f"if you trust whoever made the file, give allow={module!r}, which takes classes and "
        "functions of that module from it"
    )


def _same_folder(given: str, named: str) -> bool:
    return given == named or Path(given).absolute() == Path(named).absolute()
