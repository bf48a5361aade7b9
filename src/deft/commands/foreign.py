"""What `deft inspect` says of a checkpoint of another program: what the file says, what it does
not, and the command that would fine-tune an h-transform on it.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from deft.commands import inputs
from deft.commands.inputs import Convert, Fit
from deft.commands.rows import of_tensors, rows
from deft.errors import InvalidInput
from deft.priors import adapters
from deft.priors.base import Prior
from deft.priors.details import Details
from deft.priors.diffusers_networks import Taken
from deft.priors.diffusers_text import has_texts, readable
from deft.storage import weights_only
from deft.studies.assumptions import LEVELS, examined

NO_HASH = "none: foreign files carry no hash, so that damage to their values cannot be told"
_OPTIONS = ("noise_schedule", "prediction_type")
_MOST, _LEAST = 64, 4
_NAMES = {
    "heads": "heads",
    "attention_order": "q, k, v order",
    "image_size": "image size",
    "noise_schedule": "noise schedule",
    "prediction_type": "predicts",
    "value_range": "value range",
    "max_length": "most residues",
}
_UNKNOWN = {
    "--details.config": "configuration",
    "--details.num_head_channels": "N",
    "--details.attention_order": "legacy|new",
    "--details.image_size": "N",
    "--schedule": "linear|cosine",
    "--prediction_type": "epsilon|sample|v_prediction",
    "--details.value_range": "[-1,1]|[0,1]",
}


def shown(
    path: Path, details: Details | None, schedule: str | None, prediction_type: str | None
) -> None:
    """Print it. Of a file of no family that is known: its tensors, and that.

    Raises `CheckpointError` for a file that is damaged, needs code, or lacks weights.
    """
    head = {
        "file": path,
        "kind": "a foreign checkpoint; only its weights are read, no code is executed",
        "hash": NO_HASH,
    }
    content = adapters.read(path)
    try:
        said = adapters.say(path, content, details, schedule, prediction_type)
    except adapters.Unknown as error:
        tensors = weights_only.named(path, content)
        rows(head)
        of_tensors(tensors)
        rows({"family": f"not known: {error.given}", "supported": error.expected})
        print(f"\n{error.advice}")
        return
    rows({**head, "family": f"{said.family}, {said.what}", **said.rows})
    of_tensors(said.tensors)
    for name, found in said.beside.items():
        value = adapters.ABSENT if found is None else f"{_in_words(found[0])}, {_from(found[1])}"
        rows({_NAMES[name]: value})
    missing = [option for option, value in said.options.items() if value is None]
    print("\nto fine-tune an h-transform on it:")
    print(_command(path, said))
    if missing:
        wrong = ": a wrong number of heads loads in silence" if "heads" in said.beside else ""
        print(
            f"{', '.join(missing)}: what is {adapters.ABSENT}, to be filled in; it is not "
            f"guessed{wrong}"
        )


def doubted(
    path: Path,
    details: Details | None,
    schedule: str | None,
    prediction_type: str | None,
    labels: Sequence[int] | None,
    images: Path,
    convert: Convert | None,
    fit: Fit | None,
) -> None:
    """Test on images what is assumed of the network beside its weights, and print what is doubted.

    Raises `InvalidInput` where something is said nowhere, for fewer than 4 images, and for a
    class-conditional network without the classes of the images.
    """
    content = adapters.read(path)
    family = adapters.family_of(path, content)
    prior = family.load(path, content, details or Details(), schedule, prediction_type)
    if "class_labels" in prior.takes and labels is None:
        raise InvalidInput(
            "labels", given="nothing", expected="the class of the images, or one for each"
        )
    if labels is not None:
        prior.given(class_labels=torch.tensor(list(labels)))  # which refuses what it cannot be
    data, _ = inputs.images(
        inputs.opened(images, prior, convert=convert, fit=fit, value_range=None, strict=False),
        _MOST,
    )
    if len(data) < _LEAST:
        raise InvalidInput(
            "images", given=f"{len(data)} images", expected=f"at least {_LEAST}, to compare errors"
        )
    low, high = prior.value_range or (-1.0, 1.0)
    said = family.say(path, content, details or Details(), schedule, prediction_type)
    assumed = {name: found[0] for name, found in said.beside.items() if found is not None}

    def made(assumptions: Mapping[str, Any]) -> Prior:
        changed = {k: v for k, v in assumptions.items() if k not in (*_OPTIONS, "heads")}
        heads = {"num_heads": None, "num_head_channels": None, **assumptions.get("heads", {})}
        one = replace(
            details or Details(),
            **changed,
            **{k: heads[k] for k in ("num_heads", "num_head_channels")},
        )
        named = [assumptions.get(name) for name in _OPTIONS]
        found = family.load(path, content, one, *named)
        if labels is None:
            return found
        return found.given(class_labels=torch.tensor(list(labels)))

    print(f"\ntesting this on {len(data)} images of {images}")
    with tqdm(desc="networks asked", unit="network", leave=False) as bar:
        found = examined(made, assumed, 2 * (data - low) / (high - low) - 1, bar.update)
    rows({"log-SNR": "  ".join(f"{level:6.1f}" for level in LEVELS)})
    rows({"error": "  ".join(f"{value:6.3f}" for value in found.given)})
    print("as a share of the error of a linear denoiser: below 1 where the network is told right")
    for doubt in found.doubts:
        print(
            f"doubted: {_NAMES[doubt.name]} {_in_words(doubt.given)}. With "
            f"{_in_words(doubt.better)} the error falls by {100 * doubt.share:.0f} % "
            f"({doubt.errors:.0f} standard errors)"
        )
    if found.doubts:
        rows({"then": "  ".join(f"{value:6.3f}" for value in found.changed)})
    elif not found.behind:
        print("nothing is doubted: it is not behind the linear denoiser at any level")
    if found.behind:
        print(
            f"behind the linear denoiser at log-SNR {', '.join(f'{x:g}' for x in found.behind)}: "
            "suspects are the value range, the noise "
            "schedule, the heads, the order of q, k and v, the prediction, or images that are not "
            "like those that the network was trained on"
        )


def _command(path: Path, said: adapters.Said) -> str:
    """The command line, with what is missing in capitals or as the choices that there are."""
    options = [
        f"{option} {_typed(value) if value is not None else _UNKNOWN[option]}"
        for option, value in said.options.items()
    ]
    return " ".join(["deft train --prior", shlex.quote(str(path)), *options, said.then])


def of_folder(
    folder: Path,
    subfolder: str | None,
    schedule: str | None,
    prediction_type: str | None,
    details: Details | None,
    taken: Mapping[str, Taken],
) -> str:
    """The command line for a folder of diffusers: what was said of it, and what it must be told, in
    capitals; an empty prompt and the class that stands for none need not be said.
    """
    said = {"subfolder": subfolder, "schedule": schedule, "prediction_type": prediction_type}
    facts = {} if details is None else details.said()
    said |= {f"details.{name}": value for name, value in facts.items()}
    options = [f"--{name} {_typed(value)}" for name, value in said.items() if value is not None]
    usual = has_texts(folder) and readable(folder)
    for one in taken.values():
        if one.classes is not None and one.null is None:
            options.append("--labels N")
        elif one.classes is None and not usual and "--context FILE.safetensors" not in options:
            options.append("--context FILE.safetensors")
    own = "--problem Inpainting --problem.masks box --problem.sigma_y 0.05"
    command = ["deft train --prior", shlex.quote(str(folder)), *options, own]
    return " ".join([*command, "--images FOLDER --out RUN"])


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number}" for name, number in value.items())
    return str(value)


def _from(place: str) -> str:
    return "as given" if place == "given" else place if place.startswith("as ") else f"by {place}"


def _typed(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return shlex.quote(f"[{','.join(f'{number:g}' for number in value)}]")
    return shlex.quote(str(value))
