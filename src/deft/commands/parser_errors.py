"""Messages of the parser as errors of one line: which option, what was given, what is expected, and
the nearest names.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from deft.commands import catalogue
from deft.errors import InvalidInput, nearest_names

_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "tuple": "a pair, such as [0,1]",
    "list": "a list, such as [1,2]",
    "str": "a text",
    "dict": "a mapping",
    "Path": "a path",
}
_KINDS = {
    "problem": ("a problem", "problems"),
    "masks": ("a kind of masks", "masks"),
    "kernel": ("a kind of kernels", "kernels"),
    "h_transform": ("an h-transform", "h-transforms"),
    "objective": ("an objective", "objectives"),
    "sampler": ("a sampler", "samplers"),
    "grid": ("a time grid", "time-grids"),
    "method": ("a method", "methods"),
    "methods": ("a method", "methods"),
}  # what an option takes, and how `deft list --kind` calls it
_THEIRS = re.compile(
    r"Expected|Problem with|Import|Parser key|Does not|Not a |Unable|Unexpected|Invalid|No "
)  # what the parser itself says
_NOISE = re.compile(
    r"\s*(Parser key|Given value|Does not validate|Subtypes:|Errors:$"
    r"|- Expected a <class 'NoneType'>)"
)


def of_the_parser(
    message: str, options: Collection[str], config: Mapping[str, object] | None = None
) -> InvalidInput:
    """A message of the parser as an error of one line: which option, what was given, what is
    expected, and the nearest names.

    `config` is what was parsed, where an object could not be made of it.
    """
    unknown = re.search(r"unrecognized arguments: (.+)", message, re.S)
    if unknown:
        first = unknown[1].split()[0]
        name = first.split("=")[0].replace("-", "_").replace("__", "--", 1)
        near = _nearest_option(name, options) if first.startswith("-") else ""
        return InvalidInput(
            "unknown option",
            given=first,
            expected="an option of this command (--help shows them)",
            advice=near,
        )
    stray = re.search(
        r"^(?:Validation failed: )?(?:Key|Option) ['\"]([\w.]+)['\"] is not (?:expected|accepted)",
        message.strip(),
    )
    if stray:
        return InvalidInput(
            "unknown option",
            given=stray[1],
            expected="an option of this command (--help shows them)",
            advice=nearest_names(stray[1], list(options)).removeprefix("; "),
        )
    missing = re.search(r"argument (--[\w.-]+)(?:/--\S+)?: expected one argument", message)
    if missing:
        return InvalidInput(missing[1], given="nothing", expected="a value")
    path = ".".join(dict.fromkeys(re.findall(r"[Pp]arser key [\"']([\w.+-]+)[\"']", message)))
    needed = re.search(
        r"(?:Key|Option) ['\"]([\w.]+)['\"] is required"
        r"|the following arguments are required: ([\w.-]+)",
        message,
    )
    if needed:
        name = (needed[1] or needed[2]).lstrip("-")
        made = re.search(r"class_path '(?:[\w.]+\.)?(\w+)'", message)
        if made and path:
            return InvalidInput(
                f"--{path}.{name}", given="nothing", expected=f"a value: {made[1]} needs it"
            )
        return InvalidInput(
            name.upper() if name in ("target", "source") else f"--{name}",
            given="nothing",
            expected="a value: this command needs it",
        )
    own = (
        [line for line in re.findall(r"^\s*- (.+)$", message, re.M) if not _THEIRS.match(line)]
        if config
        else []
    )
    if own:
        return _of_an_object(own[0], config or {})
    unnamed = re.search(r"instantiatable class, but (?:[\w.]+\.)?(\w+) is abstract", message)
    if unnamed and path:
        said = re.search(r"NestedArg\(key='(\w+)', val='([^']*)'", message)
        if said is None:
            return InvalidInput(
                f"--{path}",
                given=f"an option of --{path} before it",
                expected="the name of a class first",
                advice=f"say --{path} NAME before --{path}.OPTION",
            )
        key, value = said.groups()
        first = {"problem": "Inpainting", "sampler": "DDIM", "method": "DPS"}.get(path, "NAME")
        return InvalidInput(
            f"--{path}",
            given=f"{key} without a class",
            expected="the name of a class first",
            advice=f"say, for example, --{path} {first} --{path}.{key} {value}",
        )
    other = re.search(
        r"Import path (?:([\w.]+) )?does not correspond to a subclass of (\w+)", message
    )
    if other and path:
        given = other[1] or "".join(re.findall(r"Given value: ?(.*)", message)[-1:])
        last = given.rpartition(".")[2]
        named = (
            [cls.__name__ for cls in catalogue.classes("methods")]
            if other[2] == "MethodRecipe"
            else []
        )
        advice = (
            f"say --{path} {last}"
            if last in named
            else f"deft list shows what there is for --{path}"
        )
        kind = {"MethodRecipe": "method"}.get(other[2], other[2].lower())
        return InvalidInput(f"--{path}", given=given, expected=f"a {kind}", advice=advice)
    pair = re.search(r"Expected a tuple with (\d+) elements", message)
    if pair and path:
        given = "".join(re.findall(r"Given value: ?(.*)", message)[-1:])
        return InvalidInput(f"--{path}", given=given, expected=f"{pair[1]} values, such as [0,1]")
    nested = re.search(r"NestedArg\(key='([\w.]+)'", message)
    if (
        nested
        and path
        and "class_path" not in message
        and "<class 'str'>" in message
        and f"{path}.{nested[1]}" not in options
    ):
        return InvalidInput(
            "unknown option",
            given=f"--{path}.{nested[1]}",
            expected=f"an option of this command; --{path} takes a text",
        )
    found = re.findall(r"(?:Given value|Got value): ?(.*)", message)
    given = next(
        (value.strip() for value in found if not value.startswith(("NestedArg", "Namespace"))), None
    )
    missed = _class_named(message)
    if missed and path:
        return _no_such_class(path, missed)
    expected, advice = _problem(message)
    if expected:
        return InvalidInput(
            f"--{path}" if path else "options",
            given=None if given is None else given or "nothing",
            expected=expected,
            advice=advice,
        )
    lines = [
        line.strip().removeprefix("- ")
        for line in message.splitlines()
        if line.strip() and not _NOISE.match(line)
    ]
    return InvalidInput(
        f"{f'--{path}: ' if path else ''}{' '.join(lines) or ' '.join(message.split())}"
    )


def _of_an_object(text: str, config: Mapping[str, object]) -> InvalidInput:
    """An error of a constructor that the parser has wrapped: `steps: got 0; expected ...` becomes
    that of `--sampler.steps`.
    """
    parts = re.match(r"(.+?): got (.+?); expected (.+)", text)
    if not parts:
        return InvalidInput(text)
    what, given, more = parts.groups()
    expected, _, advice = more.partition(". ")
    owners = [
        key
        for key, value in config.items()
        if hasattr(value, "__dict__") and what in vars(getattr(value, "init_args", value))
    ]
    return InvalidInput(
        f"--{owners[0]}.{what}" if len(owners) == 1 else what,
        given=given,
        expected=expected.rstrip("."),
        advice=advice,
    )


def _problem(message: str) -> tuple[str, str]:
    """What the parser expected, and what to do."""
    option = re.findall(r"class_path '([\w.]+)':\s+Option '([\w.]+)' is not accepted", message)
    if option:
        where, name = option[-1]
        known = _arguments(where)
        near = nearest_names(name, known).removeprefix("; ")
        return f"an argument of {where.rpartition('.')[2]}, not {name}: {', '.join(known)}", near
    key = re.findall(
        r"[Kk]ey ['\"]([\w.]+)['\"] is not expected|No action for key ['\"]([\w.]+)['\"]"
        r"|Unknown key ['\"]?([\w.]+)",
        message,
    )
    if key:
        name = "".join(key[-1])
        return f"an option of this command, not {name}", ""
    classes = re.findall(r"Expected an? <class '(?:[\w.]*\.)?(\w+)'>", message)
    literal = re.findall(r"Expected a typing\.Literal\[([^\]]*)\]", message)
    endless = re.search(r"[Vv]alue: ?[+-]?\.?(?:nan|inf)", message, re.I) is not None
    kinds = {**_TYPES, "float": "a finite number"} if endless else _TYPES
    words = [kinds.get(name, f"a {name}") for name in classes if name != "NoneType"]
    words += [f"one of {choices.replace(chr(39), '')}" for choices in literal]
    return " or ".join(dict.fromkeys(words)), ""


def _arguments(path: str) -> list[str]:
    import inspect
    from importlib import import_module

    module, _, name = path.rpartition(".")
    try:
        return list(inspect.signature(getattr(import_module(module), name)).parameters)
    except (ImportError, AttributeError, ValueError):
        return []


def _nearest_option(name: str, options: Collection[str]) -> str:
    """The question after an option that was meant: one that it abbreviates (--lr), or near ones."""
    word = name.lstrip("-")
    initials = [
        option
        for option in options
        if "_" in option and "".join(part[0] for part in option.split("_") if part) == word
    ]
    if initials:
        return f"did you mean {' or '.join(f'--{option}' for option in initials)}?"
    return nearest_names(name, [f"--{option}" for option in options]).removeprefix("; ")


def _class_named(message: str) -> str | None:
    """The name of a class that the parser did not find."""
    found = re.findall(r"dot import path string: (\S+)", message) or re.findall(
        r"with given class_path '([\w.]+)':\s+(?:module|No module|Not a valid|Import)", message
    )
    return found[-1] if found else None


def _no_such_class(path: str, name: str) -> InvalidInput:
    """The error for an option that takes the name of a class, with the nearest names of its
    kind.
    """
    last = name.rpartition(".")[2]
    what, kind = _KINDS.get(path.rpartition(".")[2], ("the name of a class", ""))
    methods = [cls.__name__ for cls in catalogue.classes("methods")]
    if kind == "samplers" and last in methods:
        advice = f"{last} is a method, so say --method {last}"
    else:
        paths = catalogue.paths(catalogue.base(kind))
        names = [path.rpartition(".")[2] for path in paths]
        near = (
            nearest_names(last, names)
            if last == name
            else nearest_names(name, paths) or nearest_names(last, names)
        ).removeprefix("; ")
        advice = near or f"deft list{f' --kind {kind}' if kind else ''} shows what there is"
    return InvalidInput(f"--{path}", given=name, expected=f"{what} that there is", advice=advice)
