"""What was typed on a command line: which options with which values, and as the parser wants it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from deft.commands.config_file import check_config
from deft.errors import InvalidInput


def values_typed(arguments: Sequence[str]) -> dict[str, str]:
    """The options that were typed, without their dashes, and the last value of each."""
    found = {}
    for argument, following in zip(arguments, [*arguments[1:], ""]):
        head, mark, tail = argument.partition("=")
        if head.startswith("--"):
            found[head[2:].replace("-", "_")] = tail if mark else following
    return found


def written_out(
    arguments: Sequence[str], known: Collection[str], kinds: Mapping[str, str]
) -> list[str]:
    """What was typed as the parser wants it; `known` are the options with their dashes, `kinds`
    their annotations as they are written.

    `--batch-size` as `--batch_size`, `--strict` as `--strict=true`, `--steps 1e4` as 10000, and an
    option that takes several values, given several times, as a list. Raises `InvalidInput` for an
    empty value, and for a `--config` that is no file of options.
    """
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
            check_config(tail)
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
