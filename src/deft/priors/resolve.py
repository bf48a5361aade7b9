"""A prior from what a user types: a name, a file, a folder, or a repository of the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

from deft.errors import InvalidInput, nearest_names
from deft.priors import zoo
from deft.priors.base import Prior

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def load(name: str | Path) -> Prior:
    """The prior called `name`: one that ships ("digits-32"), a file of `zoo.save`, a local diffusers folder, or a hub id ("google/ddpm-cifar10-32").

    Raises `InvalidInput` for anything else, with the nearest names.
    """
    path = Path(name)
    if str(name) in zoo.names():
        return zoo.load(str(name))
    if path.is_file() or path.suffix == ".safetensors":
        return zoo.load(path.with_suffix(".safetensors") if path.suffix == ".json" else path)
    if path.is_dir() or (isinstance(name, str) and _HUB_ID.fullmatch(name) and not name.startswith(".")):
        from deft.priors import diffusers

        return diffusers.load(str(name))
    raise InvalidInput(
        f"there is no prior {str(name)!r}: it is neither one that ships ({', '.join(zoo.names()) or 'none'}), nor a file, nor a folder, "
        f"nor a hub id (owner/name){nearest_names(str(name), zoo.names())}"
    )
