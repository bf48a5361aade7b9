"""Dotted paths by which an earlier version named classes, where a command line or a YAML file of it
still does: each is the present one before the parser sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deft.storage.table import present

MODE = "yaml with former paths"


def read() -> str:
    """The mode of a parser that reads YAML, and inline mappings, with former paths."""
    import yaml
    from jsonargparse import get_loader, set_loader

    plain = get_loader("yaml")

    def load(text: str) -> Any:
        return present(plain(text))

    set_loader(MODE, load, exceptions=(yaml.YAMLError,))
    return MODE


def typed(arguments: Sequence[str]) -> list[str]:
    """What was typed, with the present path in place of a former one: `--option PATH` and
    `--option=PATH`.
    """
    parts = [argument.partition("=") for argument in arguments]
    return [f"{present(head)}{mark}{present(tail)}" for head, mark, tail in parts]
