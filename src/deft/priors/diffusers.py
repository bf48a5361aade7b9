"""Priors saved by Hugging Face diffusers, read: a `UNet2DModel`, or a whole DDPM, DDIM or score-SDE
(VE) pipeline.

The configuration is checked before the network is built. The weights must be all of its weights and
no others. Where the files are is found by `deft.priors.diffusers_files`.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch
from torch import nn

from deft import checks
from deft.errors import CheckpointError, InvalidInput
from deft.priors import diffusers_schedulers
from deft.priors.diffusers_files import local_folder, network_folder, read_json, variant_of
from deft.priors.diffusers_unet import DiffusersPrior, first_line
from deft.schedules import VE, Schedule

_MOST_WEIGHTS = 20_000_000_000
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
    folder = local_folder(path_or_hub_id)
    root = network_folder(folder, path_or_hub_id, subfolder)
    config = read_json(
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
        else diffusers_schedulers.read(read_json(file, f"{file} is missing"), str(file))
    )


def _unet(root: Path, given: str | Path, dtype: torch.dtype | None) -> nn.Module:
    from diffusers.models.unets.unet_2d import UNet2DModel

    unet: nn.Module
    variant = variant_of(root, given)
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
