"""From the command line and a YAML file to the call of a command's function."""

from __future__ import annotations

import argparse
import inspect
import math
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any, TextIO

from jsonargparse import ArgumentParser, Namespace
from tqdm import tqdm

from deft.commands import catalogue, former, parser_errors, words
from deft.commands.typed import values_typed, written_out
from deft.errors import DeftError, InvalidInput

_GIVEN: set[str | int] = {"resolved"}  # what a command gets from here, not from the user


def build(name: str) -> ArgumentParser:
    """The parser of a command: its function's arguments, and `--config`."""
    module = _module(name)
    catalogue.paths()  # imported classes can be named without their module
    parser = ArgumentParser(
        prog=f"deft {name}",
        description=f"{inspect.getdoc(module.run)}\n\nExample:\n    {module.EXAMPLE}",
        exit_on_error=False,
        allow_abbrev=False,
        parser_mode=former.read(),
        formatter_class=_Help,
    )
    parser.add_argument(
        "--config",
        action="config",
        help="a YAML file with any of the options below; the command line overrides it",
    )
    parser.add_function_arguments(
        module.run, skip=_GIVEN, as_positional=getattr(module, "POSITIONAL", False)
    )
    for group in parser._action_groups:
        group.title = "what to run" if str(group.title).startswith("<function") else group.title
    for action in parser._actions:
        if action.dest in module.HELP:
            action.help = module.HELP[action.dest]
        default = inspect.signature(module.run).parameters.get(action.dest)
        if (
            default is not None
            and default.default not in (inspect.Parameter.empty, None, "")
            and "default" not in str(action.help or "")
        ):
            action.help = f"{action.help or ''} (default: {_shown(default.default)})".strip()
    if hasattr(module, "DEFAULTS"):
        parser.set_defaults(module.DEFAULTS)
    return parser


def run(name: str, arguments: Sequence[str]) -> int:
    """Parse and call. Raises `InvalidInput` for anything that the parser does not accept, with the
    nearest names.
    """
    parser = build(name)
    options = options_of(parser)
    short = getattr(_module(name), "SHORT", {})
    arguments = [short.get(argument, argument) for argument in arguments]
    written = written_out(
        former.typed(arguments),
        {option for action in parser._actions for option in action.option_strings},
        _kinds(name),
    )
    try:
        config = parser.parse_args(written)
    except argparse.ArgumentError as error:
        raise parser_errors.of_the_parser(str(error), options) from error
    except SystemExit as stop:  # --help
        return int(stop.code or 0)
    except RecursionError as error:
        raise InvalidInput(
            "--config",
            given="lists or mappings nested without end",
            expected="options of this command",
        ) from error
    _check_finite(config)
    function = _module(name).run
    resolved = parser.dump(config, skip_none=False)
    values = {
        key: value for key, value in vars(_instantiate(parser, config)).items() if key != "config"
    }
    if _GIVEN & set(inspect.signature(function).parameters):
        values["resolved"] = resolved
    with warnings.catch_warnings():
        warnings.showwarning = _warned(options)
        function(**values)
    return 0


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def options_of(parser: ArgumentParser) -> list[str]:
    """The names of a command's options, without their dashes."""
    return [
        option[2:]
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--")
    ] + [action.dest for action in parser._actions if not action.option_strings]


def spoken(error: DeftError, name: str, arguments: Sequence[str] = ()) -> str:
    """An error in the words of a command, and of what was typed: `--problem.sigma_y` too."""
    typed = values_typed(arguments)
    return words.spoken(
        error, [*options_of(build(name)), *(option for option in typed if "." in option)], typed
    )


def _check_finite(config: object, path: str = "") -> None:
    """Raise for a number that is not finite, wherever it was given."""
    if isinstance(config, float) and not math.isfinite(config):
        raise InvalidInput(f"--{path}", given=config, expected="a finite number")
    inside = (
        vars(config).items()
        if isinstance(config, Namespace)
        else config.items()
        if isinstance(config, dict)
        else ()
    )
    for key, value in inside:
        step = str(key).removeprefix("init_args").strip(".")
        _check_finite(value, f"{path}.{step}".strip(".") if step != "class_path" else path)
    if isinstance(config, (list, tuple)):
        for value in config:
            _check_finite(value, path)


def _warned(options: Sequence[str]):  # type: ignore[no-untyped-def]
    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        kind = "" if issubclass(category, UserWarning) else f"{category.__name__}: "
        tqdm.write(
            f"deft: {kind}{words.in_options(str(message), options)}", file=sys.stderr
        )  # on a line of its own, also beside a bar

    return show


def _module(name: str) -> ModuleType:
    module = "listing" if name == "list" else name.replace("-", "_")
    return import_module(f"deft.commands.{module}")


def _instantiate(parser: ArgumentParser, config: Any) -> Any:
    try:
        return (
            parser.instantiate(config)
            if hasattr(parser, "instantiate")
            else parser.instantiate_classes(config)
        )
    except DeftError:
        raise
    except (argparse.ArgumentError, TypeError, ValueError) as error:
        raise parser_errors.of_the_parser(str(error), options_of(parser), vars(config)) from error


def _kinds(name: str) -> dict[str, str]:
    """The annotation of each option, as it is written."""
    return {
        key: str(parameter.annotation)
        for key, parameter in inspect.signature(_module(name).run).parameters.items()
    }


class _Help(argparse.HelpFormatter):
    """Help with the docstring's own line breaks."""

    def __init__(self, prog: str) -> None:
        super().__init__(
            prog, max_help_position=32, width=min(getattr(sys.stdout, "columns", 110), 110)
        )

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(indent + line for line in text.splitlines())
