"""Where the weights of h-transforms are: those that ship, run folders, the folders of
`$DEFT_WEIGHTS`, repositories of the Hugging Face hub, and foreign files.
"""

from __future__ import annotations

import os
from pathlib import Path

from torch import Tensor

from deft.errors import CheckpointError, InvalidInput, nearest_names
from deft.priors.zoo import FOLDER
from deft.storage import hub, weights_only
from deft.storage.tensors import kind_of

KIND = "deft h-transform"
"""What a file of one says that it is."""

WEIGHTS = "h.safetensors"
"""The file of an h-transform in a folder."""


def shipped() -> list[str]:
    """The names of the h-transforms that ship."""
    return sorted(path.stem for path in FOLDER.glob("h-*.safetensors"))


def of_the_user(name: str) -> Path | None:
    """The file of this name in the folders that `$DEFT_WEIGHTS` lists: NAME.safetensors, or
    h.safetensors in a folder NAME.
    """
    if not name or Path(name).is_absolute() or ".." in Path(name).parts:
        return None
    for folder in filter(None, os.environ.get("DEFT_WEIGHTS", "").split(os.pathsep)):
        for path in (Path(folder) / f"{name}.safetensors", Path(folder) / name / WEIGHTS):
            if path.is_file():
                return path
    return None


def named() -> list[str]:
    """The names of the h-transforms that are on this machine: those of the user, then those that
    ship.
    """
    mine = []
    for folder in filter(None, os.environ.get("DEFT_WEIGHTS", "").split(os.pathsep)):
        alone = [path.stem for path in Path(folder).glob("*.safetensors") if _holds(path)]
        inside = [path.parent.name for path in Path(folder).glob(f"*/{WEIGHTS}")]
        mine += sorted({*alone, *inside})
    return list(dict.fromkeys([*mine, *shipped()]))


def _holds(path: Path) -> bool:
    """Whether a file holds an h-transform."""
    try:
        return kind_of(path) == KIND
    except CheckpointError:
        return False


def is_known(place: str | Path) -> bool:
    """Whether there is something of this name on this machine."""
    return Path(place).exists() or str(place) in shipped() or of_the_user(str(place)) is not None


def located(place: str | Path) -> Path:
    """The file of an h-transform: of a run folder, of one that ships or lies in the folders of
    `$DEFT_WEIGHTS`, by its name, or the file itself.

    Raises `CheckpointError` where there is nothing, with the names of what ships that are near, and
    for a run that has not ended.
    """
    path = Path(place)
    if path.is_dir():
        if not (path / WEIGHTS).exists() and (path / "state.safetensors").exists():
            raise CheckpointError(
                f"{path}",
                given="a training run that has not ended",
                expected="one that has written h.safetensors",
                advice="give the training command again, which goes on from where it stopped; "
                "--initial of deft train starts another run from its weights",
            )
        return path / WEIGHTS
    if path.exists():
        return path
    if str(place) in shipped():
        return FOLDER / f"{place}.safetensors"
    mine = of_the_user(str(place))
    if mine is not None:
        return mine
    raise CheckpointError(
        f"{path} does not exist, and no h-transform of that name ships (deft "
        f"list){nearest_names(str(place), shipped())}"
    )


def fetched(place: str | Path, revision: str | None = None) -> Path:
    """The same of what a user names, which may be a hub id, owner/name: the file of that
    repository, downloaded or out of the cache, at a revision.

    What is on this machine comes first. Raises `CheckpointError` where it cannot be had, and
    `InvalidInput` for a revision of something that is no repository.
    """
    name = str(place)
    if hub.is_id(name) and Path(name).suffix != ".safetensors" and not is_known(place):
        try:
            return hub.file(name, WEIGHTS, revision)
        except CheckpointError as error:
            raise CheckpointError(
                f"{name} does not exist here, and {error.what}", advice=error.advice
            ) from error
    if revision is not None:
        raise InvalidInput(
            "revision",
            given=revision,
            expected=f"nothing: {place} is no repository of the hub",
            advice="leave `revision` out",
        )
    return located(place)


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a foreign file: safetensors, or a .pt file, of which weights alone are read
    and no code is executed.
    """
    return weights_only.named(path, weights_only.contents(path))
