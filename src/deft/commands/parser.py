"""From the command line and a YAML file to the call of a command's function."""

from __future__ import annotations

import argparse
import inspect
import re
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import TextIO

from jsonargparse import ArgumentParser

from deft.commands import catalogue
from deft.errors import DeftError, InvalidInput, nearest_names

_GIVEN: set[str | int] = {"resolved"}  # what a command gets from here, not from the user


def build(name: str) -> ArgumentParser:
    """The parser of a command: its function's arguments, and `--config`."""
    module = _module(name)
    catalogue.paths()  # imported classes can be named without their module
    parser = ArgumentParser(prog=f"deft {name}", description=inspect.getdoc(module.run), exit_on_error=False, formatter_class=_Help)
    parser.add_argument("--config", action="config", help="a YAML file with any of the options below; the command line overrides it")
    parser.add_function_arguments(module.run, skip=_GIVEN, as_positional=getattr(module, "POSITIONAL", False))
    for group in parser._action_groups:
        group.title = "what to run" if str(group.title).startswith("<function") else group.title
    for action in parser._actions:
        if action.dest in module.HELP:
            action.help = module.HELP[action.dest]
    if hasattr(module, "DEFAULTS"):
        parser.set_defaults(module.DEFAULTS)
    return parser


def run(name: str, arguments: Sequence[str]) -> int:
    """Parse and call. Raises `InvalidInput` for anything that the parser does not accept, with the nearest names."""
    parser = build(name)
    try:
        config = parser.parse_args(_written_out(list(arguments), parser, _flags(name)))
    except argparse.ArgumentError as error:
        raise InvalidInput(_explained(str(error), parser)) from error
    except SystemExit as stop:  # --help
        return int(stop.code or 0)
    function = _module(name).run
    resolved = parser.dump(config, skip_none=False)
    values = {key: value for key, value in vars(_instantiate(parser, config)).items() if key != "config"}
    if _GIVEN & set(inspect.signature(function).parameters):
        values["resolved"] = resolved
    with warnings.catch_warnings():
        warnings.showwarning = _warned
        function(**values)
    return 0


def _warned(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None, line: str | None = None
) -> None:
    print(f"deft: {'' if issubclass(category, UserWarning) else category.__name__ + ': '}{message}", file=sys.stderr)


def _module(name: str) -> ModuleType:
    return import_module(f"deft.commands.{'listing' if name == 'list' else name}")


def _instantiate(parser: ArgumentParser, config):
    try:
        return parser.instantiate(config) if hasattr(parser, "instantiate") else parser.instantiate_classes(config)
    except DeftError:
        raise
    except (argparse.ArgumentError, TypeError, ValueError) as error:
        raise InvalidInput(_explained(str(error), parser)) from error


def _flags(name: str) -> set[str]:
    """The options that are true when given without a value."""
    return {
        f"--{key}" for key, parameter in inspect.signature(_module(name).run).parameters.items() if parameter.annotation in (bool, "bool")
    }


def _written_out(arguments: list[str], parser: ArgumentParser, flags: set[str]) -> list[str]:
    """`--batch-size` as `--batch_size`, and `--strict` as `--strict=true`: the first part of an option is written either way."""
    known = {option for action in parser._actions for option in action.option_strings}
    fixed = []
    for argument, following in zip(arguments, [*arguments[1:], "--"]):
        head, mark, tail = argument.partition("=")
        plain = "--" + head[2:].replace("-", "_") if head.startswith("--") else head
        option = plain if plain.split(".")[0] in known else head
        bare = option in flags and not mark and following.startswith("--")
        fixed.append(f"{option}=true" if bare else option + mark + tail)
    return fixed


def _explained(message: str, parser: ArgumentParser) -> str:
    """The parser's message, with the nearest known names where something is misspelt."""
    hints = []
    options = [option for action in parser._actions for option in action.option_strings if option.startswith("--")]
    keys = [option[2:] for option in options]
    for unknown in re.findall(r"unrecognized arguments: (\S+)", message):
        hints.append(nearest_names(unknown.split("=")[0].replace("-", "_").replace("__", "--", 1), options))
    for unknown in re.findall(
        r"[Kk]ey ['\"]([\w.]+)['\"] is not expected|No action for key ['\"]([\w.]+)['\"]|Unknown key ['\"]?([\w.]+)", message
    ):
        hints.append(nearest_names("".join(unknown), keys))
    for where, unknown in re.findall(r"class_path '([\w.]+)':\s+Option '([\w.]+)' is not accepted", message):
        hints.append(_nearest_argument(where, unknown))
    for unknown in re.findall(r"^Option '([\w.]+)' is not accepted", message):
        hints.append(nearest_names(unknown, keys))
    for kind, unknown in re.findall(r"(\w+) with given class_path '([\w.]+)':\s+(?:module|No module|Not a valid|Import)", message):
        hints.append(_nearest_class(unknown, kind))
    for unknown in re.findall(r"Expected a dot import path string: (\S+)", message):
        hints.append(_nearest_class(unknown))
    told = [hint for hint in dict.fromkeys(hints) if hint]
    return _without_alternatives(message) + "".join(told)


def _without_alternatives(message: str) -> str:
    """The message without what the parser says of options that may be left out: that it tried a class and nothing, and that it is not nothing."""
    noise = r"\s*(Does not validate against any of the Union|Subtypes: |Errors:$|- Expected a <class 'NoneType'>|Given value type: |Given value: Namespace)"
    lines = [line for line in message.strip().splitlines() if not re.match(noise, line)]
    return "\n".join(re.sub(r"^(\s*)- ", r"\1", line) for line in lines).strip() or message.strip()


def _nearest_argument(where: str, unknown: str) -> str:
    module, _, name = where.rpartition(".")
    try:
        cls = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        return ""
    known = list(inspect.signature(cls).parameters)
    return nearest_names(unknown, known) or f"; {name} takes {', '.join(known)}"


def _nearest_class(unknown: str, kind: str = "") -> str:
    here = [path for path in catalogue.paths() if path.rpartition(".")[0] == unknown.rpartition(".")[0]]
    known = here or catalogue.paths(kind)  # a module of ours says the kind better than a list of alternatives does
    names = {p.rpartition(".")[2]: p for p in known}
    near = nearest_names(unknown, known)
    return near or nearest_names(unknown.rpartition(".")[2], list(names)) or "; `deft list` shows what there is"


class _Help(argparse.HelpFormatter):
    """Help with the docstring's own line breaks."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=min(getattr(sys.stdout, "columns", 110), 110))

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(indent + line for line in text.splitlines())
