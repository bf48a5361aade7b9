"""Problems from their cards.

A card, `class_path` and `init_args` in plain values, says how to rebuild a problem: what a checkpoint records and what a YAML file holds.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from deft.errors import InvalidInput, nearest_names
from deft.operators.base import ForwardOperator
from deft.operators.kernels import Kernels
from deft.operators.masks import Masks
from deft.problems.base import Problem, unknown


def card_of(problem: Problem, init_args: dict[str, object]) -> dict[str, object]:
    """A problem's card."""
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in init_args.items()}
    return {"class_path": class_path(type(problem)), "init_args": plain}


def class_path(cls: type) -> str:
    """The dotted path of a class, the shorter one where its package offers it by name."""
    package = cls.__module__.rpartition(".")[0]
    offered = package == "deft.problems" and cls.__name__ in sys.modules[package].__dict__
    return f"{package if offered else cls.__module__}.{cls.__qualname__}"


def from_card(card: Mapping[str, object]) -> Problem:
    """The problem that `card` describes; classes are imported by their dotted path, so that a user's own work too.

    Only problems, and for their arguments masks, kernels and operators, are ever constructed. Raises InvalidInput for an unknown class or
    argument, and names the nearest known ones.
    """
    return _build(card, (Problem,))


def _build(card: Mapping[str, object], kinds: tuple[type, ...]) -> Any:
    path, init_args = card.get("class_path"), card.get("init_args") or {}
    if not isinstance(path, str) or not isinstance(init_args, Mapping) or set(card) - {"class_path", "init_args"}:
        raise InvalidInput(f"a card holds a 'class_path' and its 'init_args', nothing else; got {dict(card)!r}.")
    cls = _class(path, kinds)
    if "fingerprint" in init_args:
        raise InvalidInput(
            f"a card cannot rebuild a user's own operator, {init_args['operator']}; construct it and pass deft.problems.Fixed(operator, sigma_y)."
        )
    parameters = inspect.signature(cls).parameters
    for name in init_args:
        if name not in parameters:
            raise unknown(f"argument of {path}:", name, parameters)
    missing = [name for name, parameter in parameters.items() if parameter.default is parameter.empty and name not in init_args]
    if missing:
        raise InvalidInput(f"{path} needs {', '.join(missing)}; got {', '.join(init_args) or 'nothing'}.")
    return cls(**{name: _argument(value) for name, value in init_args.items()})


def _argument(value: object) -> Any:
    """An argument as Python writes it: a nested card as its object, a list as a tuple."""
    if isinstance(value, Mapping):
        return _build(value, _PARTS)
    return tuple(value) if isinstance(value, list) else value


def _class(path: str, kinds: tuple[type, ...]) -> type:
    module_name, _, name = path.rpartition(".")
    try:
        module = import_module(module_name or "deft.problems")
    except ModuleNotFoundError as error:
        raise InvalidInput(f"the class {path!r} cannot be imported: {error}{nearest_names(module_name, _HOMES)}") from error
    cls: Any = getattr(module, name, None)
    if not module_name or not _buildable(cls, kinds):
        known = [key for key, value in vars(module).items() if _buildable(value, kinds)]
        what = " or ".join(kind.__name__ for kind in kinds)
        raise InvalidInput(
            f"{path!r} is not the dotted path of a {what}; {module.__name__} knows {', '.join(known) or 'none'}{nearest_names(name, known)}"
        )
    return cls


def _buildable(value: object, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, type) and issubclass(value, kinds) and not inspect.isabstract(value)


_PARTS = (Masks, Kernels, ForwardOperator)
_HOMES = ["deft.problems", "deft.operators.masks", "deft.operators.kernels"]
