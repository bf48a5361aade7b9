"""A prior from what a user types: a name, a file, a folder, or a repository of the Hugging Face
hub.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deft.errors import CheckpointError, InvalidInput, nearest_names
from deft.priors import zoo
from deft.priors.base import Prior
from deft.priors.details import Details
from deft.priors.own import is_dotted, own
from deft.storage.tensors import kind_of
from deft.storage.weights_only import SUFFIXES

if TYPE_CHECKING:
    from torch import Tensor

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.*", re.S)
_OF_FOLDERS = ("image_size", "value_range")  # details that a folder of diffusers leaves open
_ADDRESS = re.compile(r"(localhost|[\w-]+(\.[\w-]+)+|\[[0-9a-fA-F:]+\]):\d+(/.*)?")


def load(
    name: str | Path,
    *,
    labels: Sequence[int] | None = None,
    subfolder: str | None = None,
    schedule: str | None = None,
    prediction_type: str | None = None,
    details: Details | None = None,
    context: Mapping[str, Tensor] | None = None,
    fetch: bool = True,
    allow: Collection[str] | str = (),
) -> Prior:
    """The prior called `name`: one that ships ("digits-32"), a file of `zoo.save`, a foreign
    checkpoint of one of the families of `deft.priors.adapters`, a local diffusers folder, a hub id
    ("google/ddpm-cifar10-32"), the address of a server of a prior ("http://127.0.0.1:8000"), or
    what a class or a function of a module that `allow` names makes ("mine.prior").

    `subfolder`, `schedule` (a name of `deft.priors.diffusers_schedulers.NAMED`) and
    `prediction_type` say of a diffusers folder what it does not say itself, and the latter two with
    `details` of a foreign checkpoint (of a folder: image size and value range); `labels`, one for
    all signals or one for each, fix the classes of a class-conditional one, `context` what any is
    told, in place of what a folder of diffusers says of an empty prompt. With `fetch=False` (a name
    out of a file) nothing is downloaded, and no server is asked. Raises `InvalidInput` for anything
    else, with the nearest names, and `CheckpointError` for files that cannot be read.
    """
    said = {"subfolder": subfolder, "schedule": schedule, "prediction_type": prediction_type}
    allowed = (allow,) if isinstance(allow, str) else tuple(allow)
    options = {key: value for key, value in said.items() if value is not None}
    prior = _found(name, options, details, fetch, allowed, context)
    if context:
        prior = prior.given(**context)
    if labels is None:
        return prior
    import torch

    return prior.given(class_labels=torch.tensor(list(labels), dtype=torch.long))


def is_address(name: str) -> bool:
    """Whether a name is that of a server, or meant to be."""
    return bool(_URL.fullmatch(name) or _ADDRESS.fullmatch(name))


def not_fetched(name: str) -> InvalidInput:
    """What to raise for a repository that a file names, which nobody asked to have."""
    return InvalidInput(
        "prior",
        given=name,
        expected="a prior that ships, or a local path: what a file names is not downloaded",
        advice=f"to download it, or to use a copy of yours, say so: prior={name!r}",
    )


def _found(
    name: str | Path,
    said: Mapping[str, str],
    details: Details | None,
    fetch: bool,
    allowed: Collection[str],
    context: Mapping[str, Tensor] | None,
) -> Prior:
    if isinstance(name, str) and is_address(name):
        return _remote(name, said, fetch)
    path = Path(name).expanduser()
    if is_foreign(path):
        from deft.priors import adapters

        _refuse({k: v for k, v in said.items() if k == "subfolder"}, name, "a file")
        return adapters.load(path, details, said.get("schedule"), said.get("prediction_type"))
    of_hub = isinstance(name, str) and _HUB_ID.fullmatch(name) and not name.startswith(".")
    if details is not None and not (path.is_dir() or of_hub):
        raise InvalidInput(
            "details",
            given=", ".join(details.said()) or "config",
            expected=f"nothing: {name} is no file of weights alone",
            advice="leave `details` out",
        )
    if str(name) in zoo.names():
        _refuse(said, name, "a prior that ships")
        return zoo.load(str(name))
    if path.name in ("config.json", "model_index.json") and path.is_file():
        folder = path.parent.parent if path.parent.name.startswith("unet") else path.parent
        raise InvalidInput(
            "prior",
            given=str(name),
            expected="the folder that holds it",
            advice=f"give the folder: {folder}",
        )
    if path.is_file() and path.suffix != ".json":
        _refuse(said, name, "a file")
        return _file(path)
    if path.suffix in (".safetensors", ".json") and not path.is_dir():
        _refuse(said, name, "a file")
        return zoo.load(path.with_suffix(".safetensors"))
    if path.is_dir():
        return _diffusers(path if isinstance(name, Path) else str(path), said, details, context)
    if of_hub:
        if not fetch:
            raise not_fetched(str(name))
        return _diffusers(name, said, details, context)
    if path.suffix in SUFFIXES or os.sep in str(name):
        raise InvalidInput(
            "prior", given=str(name), expected="a file or folder that exists; this one does not"
        )
    if isinstance(name, str) and is_dotted(name) and not nearest_names(name, zoo.names()):
        _refuse(said, name, "a prior of your own")
        return own(name, allowed)
    raise InvalidInput(
        f"there is no prior {str(name)!r}: it is neither one that ships "
        f"({', '.join(zoo.names()) or 'none'}), nor a file, nor a folder, "
        f"nor a hub id (owner/name){nearest_names(str(name), zoo.names())}"
    )


def is_foreign(path: Path) -> bool:
    """Whether a file is a checkpoint of another program: weights in a `.pt`, or in a safetensors
    file that is neither of this library nor in a folder of diffusers.
    """
    if not path.is_file() or not os.access(path, os.R_OK):
        return False
    if path.suffix in SUFFIXES:
        return True
    if path.suffix != ".safetensors" or (path.parent / "config.json").is_file():
        return False
    try:
        return kind_of(path) is None
    except CheckpointError:  # damaged: who reads it says how
        return False


def _file(path: Path) -> Prior:
    if not os.access(path, os.R_OK):
        raise CheckpointError(f"{path} cannot be read: permission denied.")
    if (
        path.suffix == ".safetensors"
        and not zoo.is_prior(path)
        and (path.parent / "config.json").is_file()
    ):
        raise InvalidInput(
            "prior",
            given=str(path),
            expected="the folder that holds it, with its config.json",
            advice=f"give the folder: {path.parent}",
        )
    if path.suffix != ".safetensors":
        raise InvalidInput(
            "prior",
            given=str(path),
            expected="a file of deft (safetensors), or a folder that diffusers' save_pretrained "
            "wrote",
        )
    return zoo.load(path)


def _remote(url: str, said: Mapping[str, str], fetch: bool) -> Prior:
    from deft.priors.remote.connection import address
    from deft.priors.remote.prior import RemotePrior

    if not fetch:
        raise InvalidInput(
            "prior",
            given=url,
            expected="a prior that ships, or a local path: a server that a file names is not asked",
            advice=f"to ask it, say so: prior={url!r}",
        )
    try:
        address(url)
    except InvalidInput as error:
        raise InvalidInput(
            "prior", given=error.given, expected=error.expected, advice=error.advice
        ) from error
    _refuse(said, url, "a server")
    return RemotePrior(url)


def _diffusers(
    place: str | Path,
    said: Mapping[str, str],
    details: Details | None,
    context: Mapping[str, Tensor] | None,
) -> Prior:
    from deft.priors import diffusers, diffusers_files, latent

    facts = {} if details is None else details.said()
    for key in facts:
        if key not in _OF_FOLDERS:
            raise InvalidInput(
                f"details.{key}",
                given=facts[key],
                expected=f"nothing: {place} is a folder of diffusers, which says that itself",
                advice=f"leave `details.{key}` out",
            )
    latents = diffusers_files.autoencoder(diffusers_files.local_folder(place)) is not None
    load: Callable[..., Prior] = latent.load if latents else diffusers.load
    return load(place, context=context, **said, **facts)


def _refuse(said: Mapping[str, str], name: str | Path, what: str) -> None:
    """Raise for an option that would not be used."""
    for key, value in said.items():
        raise InvalidInput(
            key,
            given=value,
            expected=f"nothing: {name} is {what}, which says itself",
            advice=f"leave `{key}` out",
        )
