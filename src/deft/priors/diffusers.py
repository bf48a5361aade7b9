"""Priors saved by Hugging Face diffusers, read: a `UNet2DModel`, or a whole DDPM, DDIM or score-SDE
(VE) pipeline.

The files are found in a local folder or fetched from the hub. The configuration is checked before
the network is built. The weights must be all of its weights and no others.
"""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from deft import checks
from deft.errors import CheckpointError, InvalidInput
from deft.priors import diffusers_schedulers
from deft.priors.diffusers_unet import DiffusersPrior, first_line
from deft.schedules import VE, Schedule
from deft.storage.bounded_json import parsed

_MOST_WEIGHTS = 20_000_000_000
_LATENT = (
    "vae",
    "vqvae",
    "movq",
    "text_encoder",
    "text_encoder_2",
    "tokenizer",
    "transformer",
    "prior",
    "image_encoder",
    "feature_extractor",
)
_WHOLE = {
    "in_channels": 4096,
    "out_channels": 4096,
    "layers_per_block": 64,
    "norm_num_groups": 4096,
    "num_class_embeds": 10_000_000,
    "attention_head_dim": 4096,
}


def load(
    path_or_hub_id: str | Path,
    *,
    subfolder: str | None = None,
    prediction_type: str | None = None,
    schedule: Schedule | str | None = None,
    value_range: tuple[float, float] | None = None,
    scale: float | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> DiffusersPrior:
    """A prior from a local folder or a hub id such as "google/ddpm-celebahq-256".

    The folder holds a pipeline (`model_index.json`) or a `UNet2DModel` (`config.json`), with the
    scheduler's configuration in `scheduler/` or beside it; `schedule` (or the name of a table:
    `diffusers_schedulers.NAMED`) and `prediction_type` replace what that says; `subfolder` names
    one of several networks. `value_range` is (-1, 1) if left out, (0, 1) for a score-SDE. The
    network is asked once, for one signal (shapes alone, where it is large), so that one that cannot
    run is refused here. Raises `InvalidInput` for a folder that holds no such network, a latent
    pipeline, or a configuration that is not known, and `CheckpointError` where files are missing,
    unreadable, out of reach, or not finite.
    """
    if isinstance(schedule, str):
        schedule = diffusers_schedulers.named(schedule)
    folder = _resolve(path_or_hub_id)
    root = _root(folder, path_or_hub_id, subfolder)
    config = _read(
        root / "config.json",
        f"{path_or_hub_id} holds no UNet2DModel: expected config.json or unet/config.json",
    )
    if config.get("_class_name") != "UNet2DModel":
        raise InvalidInput(
            f"{path_or_hub_id} holds a {config.get('_class_name')}; this adapter takes a "
            "UNet2DModel or a DDPM, DDIM or score-SDE pipeline."
        )
    _check_sizes(config, root / "config.json")
    _check_known(config, root / "config.json")
    from_scheduler = (
        None if schedule is not None and prediction_type is not None else _scheduler(folder)
    )
    if schedule is None and from_scheduler is None:
        raise InvalidInput(
            f"{path_or_hub_id} has no scheduler_config.json",
            given="no noise schedule",
            expected="that under which the network was trained",
            advice=f"give `schedule` (one of {', '.join(diffusers_schedulers.NAMED)}, or a "
            "Schedule); linear is DDPM's usual table",
        )
    score = from_scheduler is not None and isinstance(from_scheduler[0], VE)
    found = from_scheduler or (None, "epsilon")
    return DiffusersPrior(
        _unet(root, path_or_hub_id, dtype).to(device=device),
        schedule or found[0],  # type: ignore[arg-type]
        prediction_type=prediction_type or found[1],
        value_range=value_range or ((0.0, 1.0) if score else (-1.0, 1.0)),
        scale=scale,
        name=Path(path_or_hub_id).name if Path(path_or_hub_id).is_dir() else str(path_or_hub_id),
    )


def _root(folder: Path, given: str | Path, subfolder: str | None) -> Path:
    """Where the network is. Raises `InvalidInput` for a latent pipeline, and where there are
    several and none was named.
    """
    index = (
        _read(folder / "model_index.json", "") if (folder / "model_index.json").is_file() else {}
    )
    parts = sorted(
        part for part in _LATENT if (folder / part).is_dir() or isinstance(index.get(part), list)
    )
    if parts:
        raise InvalidInput(
            f"{given}",
            given=f"a {index.get('_class_name', 'pipeline')} with {', '.join(parts)}",
            expected="a network of pixels: this one works on latents or embeddings, which are not "
            "images",
        )
    if subfolder is not None:
        if not (folder / subfolder / "config.json").is_file() or ".." in Path(subfolder).parts:
            raise InvalidInput(
                "subfolder",
                given=subfolder,
                expected=f"one of {', '.join(_networks(folder)) or 'none'}, in {given}",
            )
        return folder / subfolder
    networks = _networks(folder)
    if len(networks) > 1:
        advice = (
            f"give subfolder={next((name for name in networks if 'ema' in name), networks[0])!r}, "
            "say; averaged (ema) weights usually sample better"
        )
        raise InvalidInput(
            f"{given}",
            given=f"several networks: {', '.join(networks)}",
            expected="one",
            advice=advice,
        )
    return folder / networks[0] if networks else folder


def _networks(folder: Path) -> list[str]:
    """The folders below that hold a network."""
    return sorted(
        path.parent.name
        for path in folder.glob("*/config.json")
        if path.parent.name.startswith("unet") or path.parent.name.endswith("unet")
    )


def _check_sizes(config: dict[str, Any], file: Path) -> None:
    """Raise `InvalidInput` for sizes that no network has, before anything is allocated."""

    def fits(value: object, most: int) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most

    for key, most in _WHOLE.items():
        value = config.get(key)
        if value is not None and not fits(value, most):
            raise InvalidInput(
                f"{file}: {key}", given=value, expected=f"a whole number from 1 to {most}"
            )
    size, channels = config.get("sample_size"), config.get("block_out_channels", [1])
    sizes = size if isinstance(size, list) else [size]
    if size is not None and (
        not 1 <= len(sizes) <= 2 or not all(fits(one, 16_384) for one in sizes)
    ):
        raise InvalidInput(
            f"{file}: sample_size", given=size, expected="a whole number, or a height and a width"
        )
    if (
        not isinstance(channels, list)
        or not 1 <= len(channels) <= 16
        or not all(fits(one, 16_384) for one in channels)
    ):
        raise InvalidInput(
            f"{file}: block_out_channels",
            given=channels,
            expected="a list of 1 to 16 whole numbers",
        )


def _check_known(config: dict[str, Any], file: Path) -> None:
    """Raise `InvalidInput` for a setting that UNet2DModel does not have, which it would leave out
    in silence, or that is of another type.
    """
    from diffusers.models.unets.unet_2d import UNet2DModel

    known = inspect.signature(UNet2DModel.__init__).parameters
    unknown = [key for key in config if not key.startswith("_") and key not in known]
    if unknown:
        raise InvalidInput(
            f"{file}: {unknown[0]}",
            given=config[unknown[0]],
            expected="a setting of UNet2DModel; the installed diffusers would leave it out",
            advice="update diffusers, or take it out of the file if the network does not depend "
            "on it",
        )
    for key in ("norm_eps", "mid_block_scale_factor", "dropout"):
        if key in config:
            checks.non_negative(f"{file}: {key}", config[key])
    if config.get("mid_block_type", "UNetMidBlock2D") not in ("UNetMidBlock2D", None):
        raise InvalidInput(
            f"{file}: mid_block_type",
            given=config["mid_block_type"],
            expected="UNetMidBlock2D or null",
        )
    layers, channels = config.get("layers_per_block", 2), config.get("block_out_channels", [1])
    weights = sum(
        36 * c * c * layers for c in channels
    )  # two convolutions of 3 x 3 in each block, on the way down and up
    if weights > _MOST_WEIGHTS:
        raise InvalidInput(
            f"{file}: block_out_channels",
            given=channels,
            expected=f"a network of at most {_MOST_WEIGHTS:.0e} parameters",
        )


def _scheduler(folder: Path) -> tuple[Schedule, str] | None:
    """The schedule and the prediction type that the scheduler's configuration says
    (deft.priors.diffusers_schedulers).
    """
    files = [
        folder / "scheduler" / "scheduler_config.json",
        folder / "scheduler_config.json",
        folder / "unet" / "scheduler_config.json",
    ]
    file = next((file for file in files if file.is_file()), None)
    return (
        None
        if file is None
        else diffusers_schedulers.read(_read(file, f"{file} is missing"), str(file))
    )


def _unet(root: Path, given: str | Path, dtype: torch.dtype | None) -> nn.Module:
    from diffusers.models.unets.unet_2d import UNet2DModel

    unet: nn.Module
    variant = _variant(root, given)
    try:
        unet, info = UNet2DModel.from_pretrained(
            str(root),
            torch_dtype=dtype,
            low_cpu_mem_usage=False,
            local_files_only=True,
            variant=variant,
            output_loading_info=True,
        )
    except PermissionError as error:
        raise CheckpointError(
            f"{error.filename or root} cannot be read: permission denied."
        ) from error
    # diffusers raises OSError, ValueError, RuntimeError and safetensors' own for one damaged file
    except Exception as error:
        raise CheckpointError(
            f"the weights of {given} could not be read ({first_line(error)}); save or download "
            "them again."
        ) from error
    for said, what in (
        ("missing_keys", "left out"),
        ("unexpected_keys", "that the network does not have"),
    ):
        names = [str(name) for name in info.get(said, [])]
        if names:
            raise CheckpointError(
                f"the weights of {given}",
                given=f"{len(names)} tensors {what}, such as {', '.join(sorted(names)[:3])}",
                expected="the weights of the network that config.json describes, all of them and "
                "no others",
            )
    return unet


def _variant(root: Path, given: str | Path) -> str | None:
    """The variant of the weights in a folder: none, or "fp16" where that is all there is. Raises
    `CheckpointError` where there are no weights.
    """
    kinds = ("safetensors", "bin", "safetensors.index.json", "bin.index.json")
    if any((root / f"diffusion_pytorch_model.{kind}").is_file() for kind in kinds):
        unreadable = [
            file for file in root.glob("diffusion_pytorch_model.*") if not os.access(file, os.R_OK)
        ]
        if unreadable:
            raise CheckpointError(f"{unreadable[0]} cannot be read: permission denied.")
        return None
    variants = sorted(
        {
            file.name.split(".")[1]
            for file in root.glob("diffusion_pytorch_model.*.safetensors")
            if "-of-" not in file.name
        }
    )
    if len(variants) == 1:
        return variants[0]
    found = ", ".join(sorted(file.name for file in root.iterdir() if file.is_file())[:8])
    raise CheckpointError(
        f"the weights of {given}",
        given=found or "an empty folder",
        expected="diffusion_pytorch_model.safetensors, as save_pretrained writes it",
    )


def _resolve(given: str | Path) -> Path:
    """The local folder of `given`, downloaded if it is a hub id."""
    folder = Path(given).expanduser()
    if folder.is_dir():
        if not os.access(folder, os.R_OK | os.X_OK):
            raise CheckpointError(f"{given} cannot be read: permission denied.")
        return folder
    if folder.is_file():
        raise InvalidInput(
            f"{given} is a file; give the folder that save_pretrained wrote, or a hub id such as "
            "google/ddpm-celebahq-256."
        )
    text = str(given)
    if isinstance(given, Path) or text.startswith((".", "/", "~")) or text.count("/") > 1:
        raise InvalidInput(
            f"there is no folder {given}; give the folder that save_pretrained wrote, or a hub id "
            "such as google/ddpm-celebahq-256."
        )
    from huggingface_hub import snapshot_download

    try:
        patterns = [
            "*.json",
            "*/*.json",
            "diffusion_pytorch_model.safetensors",
            "unet/diffusion_pytorch_model.safetensors",
        ]
        local = Path(snapshot_download(text, allow_patterns=patterns))
        if not any(local.glob("**/diffusion_pytorch_model.safetensors")):
            snapshot_download(
                text,
                allow_patterns=["diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.bin"],
            )
    # the hub client raises its own errors, those of its HTTP library, OSError and ValueError
    except Exception as error:
        raise CheckpointError(
            f"{text} is no local folder, and could not be had from the Hugging Face hub "
            f"({first_line(error)}). Check the name and the connection, or download it "
            "elsewhere and give the folder."
        ) from error
    return local


def _read(file: Path, missing: str) -> dict[str, Any]:
    try:
        content = parsed(file.read_bytes(), str(file))
    except FileNotFoundError as error:
        raise InvalidInput(f"{missing}.") from error
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read ({error.strerror or error}).") from error
    except InvalidInput as error:
        raise CheckpointError(
            f"{file} is no readable JSON", given=error.given, expected=error.expected
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{file}", given=content, expected="a JSON object")
    return content
