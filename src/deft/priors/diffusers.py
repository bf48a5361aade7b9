"""Priors saved by Hugging Face diffusers, read: a network of deft.priors.diffusers_networks, or a
whole pipeline of one: DDPM, DDIM, score-SDE (VE), Stable Diffusion, DiT, SD3, Flux.

A pipeline with an autoencoder gives the prior of its latents; deft.priors.latent puts the decoder
behind it. The configuration is checked before the network is built. The weights must be all of its
weights and no others. Where the files are is found by `deft.priors.diffusers_files`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deft import checks
from deft.errors import InvalidInput
from deft.priors import diffusers_schedulers, diffusers_weights
from deft.priors.diffusers_config import checked
from deft.priors.diffusers_files import (
    autoencoder,
    factor,
    local_folder,
    network_folder,
    read_json,
    variant_of,
)
from deft.priors.diffusers_networks import NETWORKS, class_of
from deft.priors.diffusers_process import Process
from deft.priors.diffusers_text import empty_prompt, readable
from deft.priors.diffusers_unet import DiffusersPrior
from deft.schedules import Schedule


def load(
    path_or_hub_id: str | Path,
    *,
    subfolder: str | None = None,
    prediction_type: str | None = None,
    schedule: Schedule | str | None = None,
    value_range: tuple[float, float] | None = None,
    scale: float | None = None,
    image_size: int | None = None,
    context: Mapping[str, Tensor] | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    variant: str | None = None,
    revision: str | None = None,
) -> DiffusersPrior:
    """A prior from a local folder or a hub id such as "google/ddpm-celebahq-256".

    The folder holds a pipeline (`model_index.json`) or a network (`config.json`), with the
    scheduler's configuration in `scheduler/` or beside it; `schedule` (or the name of a table:
    `diffusers_schedulers.NAMED`) and `prediction_type` replace what that says; `subfolder` names
    one of several networks, `variant` one of several precisions of its weights, `revision` a
    commit of a hub id. `value_range` is (-1, 1) if left out, (0, 1) for a score-SDE, and none for
    latents, whose `scale` is 1. `image_size` is the height and width of the images, in pixels, of
    a network for which its configuration does not say it, or which takes another.

    `context` is what the network is told beside x_t; left out, it is an empty prompt, where the
    pipeline has text encoders and transformers is installed, and the class that stands for none,
    where there is one. An empty mapping leaves it for `given`.

    The network is asked once, for one signal (shapes alone, where it is large), so that one that
    cannot run is refused here. Raises `InvalidInput` for a folder that holds no such network, or a
    configuration that is not known, and `CheckpointError` where files are missing, unreadable, out
    of reach, or not finite. Warns of a network into which guidance was distilled.
    """
    if isinstance(schedule, str):
        schedule = diffusers_schedulers.named(schedule)
    folder = local_folder(path_or_hub_id, revision)
    root = network_folder(folder, path_or_hub_id, subfolder)
    known = ", ".join(NETWORKS)
    config = read_json(
        root / "config.json",
        f"{path_or_hub_id} holds no network: expected config.json, or unet/config.json or "
        f"transformer/config.json, of one of {known}",
    )
    if config.get("_class_name") not in NETWORKS:
        raise InvalidInput(
            f"{path_or_hub_id} holds a {config.get('_class_name')}; this adapter takes a network "
            f"of the classes {known}, or a pipeline of one."
        )
    checked(config, root / "config.json")
    unet = _network(root, path_or_hub_id, config["_class_name"], dtype, variant).to(device=device)
    size = _size(folder, unet, image_size)
    process = _process(folder, path_or_hub_id, unet, size, schedule, prediction_type)
    latent = autoencoder(folder) is not None
    usual = None if latent else (0.0, 1.0) if process.in_units else (-1.0, 1.0)
    prior = DiffusersPrior(
        unet,
        process.schedule,
        prediction_type=process.prediction,
        value_range=value_range or usual,
        scale=scale,
        name=Path(path_or_hub_id).name if Path(path_or_hub_id).is_dir() else str(path_or_hub_id),
        told=process.told,
        factor=process.factor,
        size=size,
    )
    if prior.distilled:
        warnings.warn(
            f"{prior.name} was distilled to imitate guidance: what it says is no mean of x_0 under "
            "a density, and its samples are no posterior samples of one.",
            stacklevel=2,
        )
    return prior.given(**(_usual(folder, prior) if context is None else context))


def _usual(folder: Path, prior: DiffusersPrior) -> dict[str, Tensor]:
    """What a network is told where nothing is said: no class, an empty prompt, guidance by 1."""
    found = {
        name: torch.tensor([one.null]) for name, one in prior.taken.items() if one.null is not None
    }
    if prior.distilled:
        found["guidance"] = torch.ones(1)
    if "encoder_hidden_states" in prior.taken and readable(folder):
        size = prior.event_shape[1], prior.event_shape[2]
        found |= empty_prompt(folder, prior.unet, size)
    return found


def _size(folder: Path, unet: nn.Module, image_size: int | None) -> tuple[int, int] | None:
    """The height and width of the signals of a network: as its configuration says, or those of
    images of this size.
    """
    if image_size is None:
        size = getattr(unet.config, "sample_size", None)
        return None if size is None else (size, size) if isinstance(size, int) else tuple(size)
    pixels, each = checks.whole("image_size", image_size, 1, 16_384, "pixels"), factor(folder)
    if pixels % each:
        raise InvalidInput(
            "image_size",
            given=image_size,
            expected=f"a multiple of {each}, the pixels of one latent",
        )
    return pixels // each, pixels // each


def _process(
    folder: Path,
    given: str | Path,
    unet: nn.Module,
    size: tuple[int, int] | None,
    schedule: Schedule | None,
    prediction: str | None,
) -> Process:
    """What the scheduler's configuration says, replaced by what the user says."""
    files = [
        folder / "scheduler" / "scheduler_config.json",
        folder / "scheduler_config.json",
        folder / "unet" / "scheduler_config.json",
    ]
    file = next((file for file in files if file.is_file()), None)
    if schedule is not None and (prediction is not None or file is None):
        return Process(schedule, prediction or "epsilon")
    if file is None:
        raise InvalidInput(
            f"{given} has no scheduler_config.json",
            given="no noise schedule",
            expected="that under which the network was trained",
            advice=f"give `schedule`, one of {', '.join(diffusers_schedulers.NAMED)}; linear is "
            "DDPM's usual table",
        )
    config: Any = unet.config
    tokens = None
    if size is not None:
        tokens = NETWORKS[type(unet).__name__].tokens(config, *size)
    said = diffusers_schedulers.read(read_json(file, f"{file} is missing"), str(file), tokens)
    if schedule is not None:
        if type(schedule) is not type(said.schedule):
            raise InvalidInput(
                "schedule",
                given=f"a {type(schedule).__name__}, and no prediction_type",
                expected=f"one of the kind of {file}, a {type(said.schedule).__name__}: what a "
                "network predicts under another is not said there",
                advice="give `prediction_type` too (epsilon, v_prediction or sample, say)",
            )
        return Process(schedule, said.prediction, said.told, said.factor, said.in_units)
    if prediction is not None:
        return Process(said.schedule, prediction, said.told, said.factor, said.in_units)
    return said


def _network(
    root: Path, given: str | Path, name: str, dtype: torch.dtype | None, wanted: str | None
) -> nn.Module:
    network = diffusers_weights.read(
        class_of(name), root, given, dtype, variant_of(root, given, wanted)
    )
    # which diffusers does not do for each class
    return network if dtype is None else network.to(dtype)
