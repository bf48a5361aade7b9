"""What a folder remembers of the run that filled it, and what differs from it now.

A configuration is JSON, with the public names of classes, also where an earlier version wrote
dotted paths. Two are compared name by name, `problem.sigma_y`, down to where one of them is no
object, or they are objects of different classes. What an earlier version did not record is not
compared, but for the generator of the noise, which is known.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from deft.errors import CheckpointError, InvalidInput
from deft.storage.atomic import atomic
from deft.storage.cards import described
from deft.storage.table import modern

_LATER = (
    "fingerprint",
    "signals",
    "schedule",
    "prediction",
    "scale",
)  # of data, of a user's own operator, and of a prior
_EARLIER = {"noise": "mt19937"}  # what held before it was recorded: the generator of the draws


@final
@dataclass(frozen=True)
class Difference:
    """One value that is another one now, under its dotted name."""

    name: str
    before: object
    now: object

    def __str__(self) -> str:
        return f"{self.name}: {json.dumps(self.before)} before, {json.dumps(self.now)} now"

    @property
    def was(self) -> str:
        """The same in the words of a run that goes on."""
        before, now = (
            described(value) if isinstance(value, Mapping) and "class" in value else value
            for value in (self.before, self.now)
        )
        return f"{self.name} was {before} and is {now}"


def differences(
    theirs: Mapping[str, Any],
    ours: Mapping[str, Any],
    *,
    free: Collection[str] = (),
    named_only: bool = False,
) -> list[Difference]:
    """What differs between a recorded configuration and the present one, but for the names in
    `free` (of the first level).

    With `named_only` what the record does not name is not compared: options that an earlier version
    did not have.
    """
    theirs, ours = modern(theirs), modern(plain(ours))  # type: ignore[assignment]
    theirs = {**{name: value for name, value in _EARLIER.items() if name in ours}, **theirs}
    ours = as_recorded(ours, theirs)
    return [
        one
        for name in {**theirs, **ours}
        if name not in free
        for one in _between(name, theirs.get(name), ours.get(name), name in theirs, named_only)
    ]


def _between(
    name: str, old: object, new: object, recorded: bool, named_only: bool
) -> list[Difference]:
    if named_only and not recorded:
        return []
    if (
        isinstance(old, Mapping)
        and isinstance(new, Mapping)
        and old.get("class") == new.get("class")
    ):
        return [
            one
            for key in {**old, **new}
            for one in _between(f"{name}.{key}", old.get(key), new.get(key), key in old, named_only)
        ]
    return [] if old == new else [Difference(name, old, new)]


def as_recorded(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our configuration without what earlier versions did not record and theirs lacks: what is not
    known is not compared.
    """
    kept = {
        name: value
        for name, value in ours.items()
        if name not in _LATER or theirs.get(name) is not None
    }
    return {
        name: as_recorded(value, theirs[name])
        if isinstance(value, Mapping) and isinstance(theirs.get(name), Mapping)
        else value
        for name, value in kept.items()
    }


def plain(card: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as JSON gives it back: tuples become lists."""
    result: dict[str, Any] = json.loads(json.dumps(dict(card)))
    return result


def claim(path: Path, card: Mapping[str, Any], what: str, *, update: bool = False) -> None:
    """Record a configuration in a file, or raise `InvalidInput` where another one has been
    recorded, naming what differs.

    With `update` what an earlier version did not record is added. Raises `CheckpointError` where
    the record is damaged.
    """
    ours = plain(card)
    if not path.exists():
        write_json(path, ours)
        return
    theirs = read_json(path)
    changed = differences(theirs, ours, named_only=update)
    if changed:
        raise another(path.parent, what, changed)
    if update and theirs != ours:
        write_json(path, {**theirs, **ours})


def claim_yaml(folder: Path, resolved: str, what: str, *, free: Collection[str] = ()) -> None:
    """Record a command's options, as YAML, in `config.yaml`, or raise as `claim` does; `free` ones
    may differ, and are those of the last call.
    """
    import yaml

    path = folder / "config.yaml"
    if path.exists():
        try:
            theirs = yaml.safe_load(path.read_text()) or {}
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise _damaged(path, error) from error
        if not isinstance(theirs, Mapping):
            raise _damaged(path, "it holds no options")
        changed = differences(
            _json(theirs), _json(yaml.safe_load(resolved) or {}), free=free, named_only=True
        )
        if changed:
            raise another(folder, what, changed)
    keep_yaml(folder, resolved)


def release_yaml(folder: Path) -> None:
    """Forget a command's options: its folder holds no results."""
    (folder / "config.yaml").unlink(missing_ok=True)


def keep_yaml(folder: Path, resolved: str) -> None:
    """Save a command's options beside the results, as `config.yaml`."""
    with atomic(folder / "config.yaml") as file:
        file.write(resolved.encode())


def another(folder: Path, what: str, changed: list[Difference]) -> InvalidInput:
    """The error for a folder that holds results of another configuration."""
    return InvalidInput(
        f"{folder} holds results of {what} in another configuration: "
        f"{'; '.join(map(str, changed))}. Use another folder, or delete this one."
    )


def read_json(path: Path) -> dict[str, Any]:
    """An object that `write_json` wrote. Raises `CheckpointError` where it is missing, damaged or
    something else.
    """
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error
    if not isinstance(known, dict):
        raise _damaged(path, "it holds no object")
    return known


def write_json(path: Path, card: Mapping[str, Any]) -> None:
    """An object as JSON, in one step."""
    with atomic(path) as file:
        file.write(json.dumps(card, indent=1).encode())


def _json(options: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(json.dumps(dict(options), default=str))
    return result


def _damaged(path: Path, error: object) -> CheckpointError:
    return CheckpointError(
        f"{path} cannot be read ({error}); it says how the results beside it were made. Delete it "
        "if they are of the present configuration, or use another folder."
    )
