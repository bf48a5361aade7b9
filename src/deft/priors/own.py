"""A prior of the user's own: what a class or a function of an allowed module makes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection
from importlib import import_module

from deft.errors import InvalidInput, nearest_names
from deft.priors.base import Prior

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


def is_dotted(name: object) -> bool:
    """Whether a name may be the dotted path of a class or a function."""
    return isinstance(name, str) and _DOTTED.fullmatch(name) is not None


def own(name: str, allow: Collection[str]) -> Prior:
    """The prior that `module.name()` makes, a class of priors or a function that returns one; or
    that `module.name` is.

    Raises `InvalidInput` where `allow` does not name the module, or a package around it, before
    anything is imported; and for what makes no prior.
    """
    module, _, attribute = name.rpartition(".")
    if not any(module == one or module.startswith(f"{one}.") for one in allow):
        raise InvalidInput(
            "prior",
            given=name,
            expected="the dotted path of a class or a function in a module that `allow` names",
            advice=f"if {module} is yours, allow={module!r} lets it make a prior",
        )
    try:
        found = getattr(import_module(module), attribute, None)
    except ImportError as error:
        raise InvalidInput(
            "prior",
            given=name,
            expected="the dotted path of a class or a function, in a module on the path",
            advice=f"importing it said: {error}",
        ) from error
    if isinstance(found, Prior):
        return found
    if not callable(found):
        known = [
            key
            for key, value in vars(import_module(module)).items()
            if (inspect.isfunction(value) or inspect.isclass(value)) and value.__module__ == module
        ]
        raise InvalidInput(
            "prior",
            given=name,
            expected=f"a class or a function of {module}, which has {', '.join(known) or 'none'}",
            advice=nearest_names(attribute, known).removeprefix("; "),
        )
    try:
        made = found()
    except TypeError as error:
        raise InvalidInput(
            "prior",
            given=name,
            expected="a class or a function that makes a prior without arguments",
            advice=f"calling it said: {error}",
        ) from error
    if not isinstance(made, Prior):
        raise InvalidInput(
            "prior",
            given=f"{name}, which returned a {type(made).__name__}",
            expected="a class of priors, or a function that returns a prior",
        )
    return made
