"""What the command line says: errors in the words of what was typed.

The library speaks Python (`convert='grey'`, `resume=False`). Here it becomes options of the command
that runs (`--convert grey`, `--resume false`), on one line; what the parser says becomes so in
`parser_errors`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping

from deft.errors import DeftError

_ALIASES = {
    "invert": "invert_masks",
    "values": "value_range",
    "num_samples": "samples",
    "evaluations": "bank",
    "class_labels": "labels",
    "h_transform": "h",
    "url": "prior",
}
_CALL = re.compile(r"\w+\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)")
_VALUE = r"('[^']*'|\"[^\"]*\"|\[[^\]]*\]|\([^)]*\)|[\w.+-]*[\w+-])"


def spoken(
    error: DeftError, options: Collection[str], typed: Mapping[str, str] | None = None
) -> str:
    """An error of the library in the words of a command with these options, of which some were
    `typed`, with these values.
    """
    text, of_a_method = str(error), error.what.rpartition(": ")[2]
    what = (
        _given(error.what, error.given, typed or {})
        or _option(error.what, options)
        or _given(of_a_method, error.given, typed or {})
    )
    if what and text.startswith(f"{error.what}:"):
        text = f"--{what}{text[len(error.what) :]}"
    return in_options(text, options)


def in_options(text: str, options: Collection[str]) -> str:
    """`name=value` of an option as `--name value`, on one line; what stands within a call,
    `Inpainting(sigma_y=0.05)`, stays.
    """
    calls: list[str] = []

    def hide(found: re.Match[str]) -> str:
        calls.append(found[0])
        return f"\0{len(calls) - 1}\0"

    def option(found: re.Match[str]) -> str:
        name = _option(found[1], options)
        return found[0] if name is None else f"--{name} {_typed(found[2])}".rstrip()

    def bare(found: re.Match[str]) -> str:
        name = _option(found[1], options)
        return found[0] if name is None else f"--{name}"

    text = _CALL.sub(hide, " ".join(text.split()))
    text = re.sub(rf"(?<![\w.`'-])([a-z]\w*)={_VALUE}", option, text)
    text = re.sub(r"(?<![\w.-])`?([a-z]\w*)=(?=[\s,;.)`]|$)`?", bare, text)
    text = re.sub(r"`([a-z]\w*(?:\.\w+)?)`", bare, text)
    text = re.sub(r"(--[\w.]+), \1(?![\w.])", r"\1", text)
    return re.sub("\0(\\d+)\0", lambda found: calls[int(found[1])], text)


def _given(what: str, given: object, typed: Mapping[str, str]) -> str | None:
    """The option that an error is about, where several have its name: the one that was typed with
    the value that was given.
    """
    named = [option for option in typed if option == what or option.endswith(f".{what}")]
    same = [option for option in named if _same(typed[option], given)]
    return same[0] if len(same) == 1 else named[0] if len(named) == 1 else None


def _same(text: str, given: object) -> bool:
    try:
        return float(text) == float(given)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return text == str(given)


def _option(name: str, options: Collection[str]) -> str | None:
    """The option of that name, also one that was typed with what it belongs to: sigma_y is
    problem.sigma_y; details.num_heads is part of details.
    """
    if "." in name and name.split(".")[0] in options:
        return name
    inside = [option for option in options if option.endswith(f".{name}")]
    return next(
        (one for one in (name, _ALIASES.get(name, "")) if one in options),
        inside[0] if len(inside) == 1 else None,
    )


def _typed(value: str) -> str:
    """A value as it is typed."""
    if value in ("True", "False", "None"):
        return {"True": "true", "False": "false", "None": "null"}[value]
    if value[:1] in "'\"" and value[:1] == value[-1:]:
        return shlex.quote(value[1:-1]) if value[1:-1] else "''"
    return shlex.quote(value.replace(" ", "")) if value[:1] in "[(" else value
