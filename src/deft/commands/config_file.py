"""The file of options that `--config` names: what is refused before the parser reads it."""

from __future__ import annotations

from pathlib import Path

from deft.errors import InvalidInput


def check_config(place: str) -> None:
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
