"""From the command line and a YAML file to the call of a command's function."""

from __future__ import annotations

import argparse
import inspect
import math
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

from jsonargparse import ArgumentParser, Namespace
from tqdm import tqdm

from deft.commands import catalogue, former, words
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
    written = _written_out(former.typed(arguments), parser, name)
    try:
        config = parser.parse_args(written)
    except argparse.ArgumentError as error:
        raise words.of_the_parser(str(error), options) from error
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
    typed = _typed(arguments)
    return words.spoken(
        error, [*options_of(build(name)), *(option for option in typed if "." in option)], typed
    )


def _typed(arguments: Sequence[str]) -> dict[str, str]:
    """The options that were typed, without their dashes, and the last value of each."""
    found = {}
    for argument, following in zip(arguments, [*arguments[1:], ""]):
        head, mark, tail = argument.partition("=")
        if head.startswith("--"):
            found[head[2:].replace("-", "_")] = tail if mark else following
    return found


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
    return import_module(f"deft.commands.{'listing' if name == 'list' else name}")


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
        raise words.of_the_parser(str(error), options_of(parser), vars(config)) from error


def _kinds(name: str) -> dict[str, str]:
    """The annotation of each option, as it is written."""
    return {
        key: str(parameter.annotation)
        for key, parameter in inspect.signature(_module(name).run).parameters.items()
    }


def _written_out(arguments: list[str], parser: ArgumentParser, name: str) -> list[str]:
    """What was typed as the parser wants it.

    `--batch-size` as `--batch_size`, `--strict` as `--strict=true`, `--steps 1e4` as 10000, and an
    option that takes several values, given several times, as a list. Raises `InvalidInput` for an
    empty value, and for a `--config` that is no file of options.
    """
    known, kinds = (
        {option for action in parser._actions for option in action.option_strings},
        _kinds(name),
    )
    several: dict[str, list[str]] = {}
    fixed, place = [], 0
    while place < len(arguments):
        head, mark, tail = arguments[place].partition("=")
        following = arguments[place + 1] if place + 1 < len(arguments) else "--"
        place += 1
        plain = "--" + head[2:].replace("-", "_") if head.startswith("--") else head
        option = plain if plain.split(".")[0] in known else head
        kind = kinds.get(option[2:], "") if option in known else ""
        if kind == "bool" and not mark and following.startswith("--"):
            fixed.append(f"{option}=true")
            continue
        if not kind and option != "--config":
            fixed.append(option + mark + tail)
            continue
        if not mark:
            if following.startswith("--") and following[2:3] != "":
                fixed.append(option)  # the parser says that a value is missing
                continue
            tail, place = following, place + 1
            if tail == "--":
                fixed.append(option)
                continue
        if not tail.strip():
            raise InvalidInput(
                option,
                given="nothing",
                expected="a value",
                advice=f"leave {option} out where there is none",
            )
        if option == "--config":
            _check_config(tail)
        if kind.startswith(("list[", "Names", "Labels")) and tail[:1] != "[":
            several.setdefault(option, []).append(tail)
            continue
        fixed.append(f"{option}={_whole(tail) if kind.split(' ')[0] == 'int' else tail}")
    return [*fixed, *(f"{option}=[{','.join(values)}]" for option, values in several.items())]


def _whole(value: str) -> str:
    """A whole number that was typed as 1e4; other text as it is."""
    try:
        number = float(value)
    except ValueError:
        return value
    return (
        str(int(number))
        if "e" in value.lower() and number.is_integer() and abs(number) < 2**53
        else value
    )


def _check_config(place: str) -> None:
    """Raise `InvalidInput` where a file of options is none: missing, binary, no YAML, no mapping, a
    key twice.
    """
    import yaml

    path = Path(place)
    try:
        text = path.read_bytes().decode()
    except (FileNotFoundError, IsADirectoryError) as error:
        what = "a folder" if path.is_dir() else "a file that does not exist"
        raise InvalidInput(
            "--config",
            given=f"{place}, {what}",
            expected="a YAML file with options of this command",
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidInput(
            "--config",
            given=f"{place}, which is no text",
            expected="a YAML file with options of this command",
        ) from error
    try:
        node = yaml.compose(text)
        yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InvalidInput(
            "--config",
            given=f"{place}{where}: {problem}",
            expected="YAML (spaces, no tabs, to the left of keys)",
        ) from error
    if not isinstance(node, yaml.MappingNode):
        kind = (
            "an empty file"
            if node is None
            else "a list"
            if isinstance(node, yaml.SequenceNode)
            else "a single value"
        )
        raise InvalidInput(
            "--config",
            given=f"{place}, {kind}",
            expected="options of this command, one `name: value` a line",
        )
    twice = _twice(node)
    if twice:
        raise InvalidInput(
            "--config", given=f"{place}, where {twice} stands twice", expected="each option once"
        )


def _twice(node: object) -> str:
    """A key that a mapping, or one within it, holds twice; empty if none."""
    import yaml

    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key.value, str)]
        again = [key for key in keys if keys.count(key) > 1]
        return (
            again[0]
            if again
            else next((found for _, value in node.value if (found := _twice(value))), "")
        )
    if isinstance(node, yaml.SequenceNode):
        return next((found for value in node.value if (found := _twice(value))), "")
    return ""


class _Help(argparse.HelpFormatter):
    """Help with the docstring's own line breaks."""

    def __init__(self, prog: str) -> None:
        super().__init__(
            prog, max_help_position=32, width=min(getattr(sys.stdout, "columns", 110), 110)
        )

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(indent + line for line in text.splitlines())
