"""JSON out of a file, of bounded size and depth.

A text that is too long is refused before it is parsed. Depth is measured without recursion.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from deft.errors import InvalidInput
from deft.storage.fields import DEEPEST

LARGEST = 16_000_000  # bytes of one card


def parsed(text: str | bytes, what: str) -> object:
    """JSON out of a file: finite, of bounded size and depth. Raises `InvalidInput`, with `what` it
    was, for anything else.
    """

    def refuse(name: str) -> object:
        raise InvalidInput(what, given=name, expected="finite numbers")

    if len(text) > LARGEST:
        raise InvalidInput(what, given=f"{len(text)} bytes", expected=f"at most {LARGEST}")
    try:
        value = json.loads(text, parse_constant=refuse)
    except RecursionError as error:
        raise InvalidInput(
            what, given="lists or objects nested without end", expected=f"at most {DEEPEST} levels"
        ) from error
    except InvalidInput:
        raise
    except ValueError as error:
        raise InvalidInput(
            what, given=f"text that is no JSON ({str(error).splitlines()[0]})", expected="JSON"
        ) from error
    if not _shallow(value):
        raise InvalidInput(
            what, given="lists or objects nested deeper", expected=f"at most {DEEPEST} levels"
        )
    return value


def _shallow(value: object) -> bool:
    """Whether nothing is nested deeper than `DEEPEST`; without recursion, for a file may hold
    anything.
    """
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [
            inner for item in level for inner in _contents(item) if isinstance(inner, (dict, list))
        ]
        if not level:
            return True
    return False


def _contents(item: object) -> Sequence[object]:
    return list(item.values()) if isinstance(item, dict) else item if isinstance(item, list) else ()
