"""What there is, found from the package itself: every concrete class of a kind, with the first
sentence of its docstring.
"""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module
from typing import Any

from deft.errors import InvalidInput, nearest_names
from deft.storage.table import dotted, present

KINDS = {
    "problems": ("deft.problems", "Problem", ("deft.problems", "deft.interop.deepinv")),
    "operators": (
        "deft.operators.base",
        "ForwardOperator",
        ("deft.operators", "deft.interop.deepinv"),
    ),
    "masks": ("deft.problems.masks", "Masks", ("deft.problems",)),
    "kernels": ("deft.problems.kernels", "Kernels", ("deft.problems",)),
    "h-transforms": ("deft.htransforms.base", "HTransform", ("deft.htransforms",)),
    "objectives": ("deft.training.base", "Objective", ("deft.training",)),
    "samplers": ("deft.samplers.base", "Stepping", ("deft.samplers",)),
    "time-grids": ("deft.samplers.base", "TimeGrid", ("deft.samplers",)),
    "methods": ("deft.commands.recipes", "MethodRecipe", ("deft.commands.methods",)),
}


def base(kind: str) -> str:
    """The name of the class from which those of a kind derive; none for no kind."""
    return KINDS[kind][1] if kind in KINDS else ""


def classes(kind: str) -> list[type]:
    """The concrete classes of a kind, sorted by name."""
    home, name, packages = KINDS[kind]
    base = getattr(import_module(home), name)
    found = {
        value
        for package in packages
        for module in _modules(package)
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, base)
        and not inspect.isabstract(value)
        and value.__module__ == module.__name__
    }
    return sorted((c for c in found if not c.__name__.startswith("_")), key=lambda c: c.__name__)


def named(kind: str, name: str) -> type:
    """The class that a name or a dotted path gives, a user's own too. Raises `InvalidInput` for
    anything else, with the nearest names.
    """
    home, base, _ = KINDS[kind]
    name = str(present(name))
    known = {cls.__name__: cls for cls in classes(kind)}
    if name in known:
        return known[name]
    module, _, last = name.rpartition(".")
    try:
        found = getattr(import_module(module), last)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidInput(
            f"{name!r} is none of the "
            f"{kind}{nearest_names(last or name, list(known)) or '; `deft list` shows them'}"
        ) from error
    if not (isinstance(found, type) and issubclass(found, getattr(import_module(home), base))):
        raise InvalidInput(f"{name} is none of the {kind}: those derive from {home}.{base}.")
    return found


def path(cls: type) -> str:
    """The dotted path that a YAML file gives."""
    return dotted(cls)


def sentence(documented: object) -> str:
    """The first sentence of a docstring."""
    text = inspect.getdoc(documented) or ""
    first = text.split("\n\n")[0].replace("\n", " ").strip()
    return first.split(". ")[0].rstrip(".") + "." if first else ""


def paths(base: str = "") -> list[str]:
    """The dotted paths of everything that a YAML file can name, or of what derives from the class
    called `base`.
    """
    known = [kind for kind, (_, name, _) in KINDS.items() if name == base] or list(KINDS)
    return [path(cls) for kind in known for cls in classes(kind)]


def _modules(where: str) -> list[Any]:
    package = import_module(where)
    if not hasattr(package, "__path__"):
        return [package]
    return [
        import_module(f"{where}.{info.name}") for info in pkgutil.iter_modules(package.__path__)
    ]
