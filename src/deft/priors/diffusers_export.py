"""A prior as a folder of diffusers, which `DDPMPipeline.from_pretrained` and `deft --prior` read.

    FOLDER/model_index.json, unet/ (config.json, safetensors), scheduler/scheduler_config.json

The folder is read back before it takes its place, and must answer like the prior: what a
configuration of diffusers cannot say (heads of several sizes, rescaled times, another range) is
refused.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from deft.errors import CheckpointError, InvalidInput
from deft.priors import diffusers
from deft.priors.base import Prior
from deft.priors.diffusers_unet import DiffusersPrior
from deft.schedules import VE, VPTabulated
from deft.storage.tensors import refusal

_TOLERANCE = 1e-4  # relative: the betas are stored in single precision


def export(prior: Prior, folder: str | Path) -> Path:
    """Write `prior` to a new folder, which is returned.

    Raises `InvalidInput` for a prior that has no such form, with the reason, and for a folder that
    is not empty; `CheckpointError` where the disk refuses.
    """
    folder = Path(folder).expanduser()
    if not isinstance(prior, DiffusersPrior):
        raise InvalidInput(
            "prior",
            given=f"{prior.name} ({type(prior).__name__})",
            expected="a UNet2DModel, as the diffusers and adm adapters load: no class of diffusers "
            "computes another",
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInput("out", given=str(folder), expected="a folder that is new, or empty")
    scheduler = _scheduler(prior)
    made: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        unet: Any = prior.unet
        unet.save_pretrained(made / "unet")
        (made / "scheduler").mkdir()
        _write(made / "scheduler" / "scheduler_config.json", scheduler)
        score = prior.prediction_type == "score"
        _write(
            made / "model_index.json",
            {
                "_class_name": "ScoreSdeVePipeline" if score else "DDPMPipeline",
                "scheduler": ["diffusers", scheduler["_class_name"]],
                "unet": ["diffusers", "UNet2DModel"],
            },
        )
        _check(prior, made)
        os.chmod(made, 0o755)
        if folder.exists():
            folder.rmdir()
        made.rename(folder)
    except OSError as error:
        raise CheckpointError(refusal(folder, error)) from error
    finally:
        if made is not None and made.exists():
            shutil.rmtree(made, ignore_errors=True)
    return folder


def _scheduler(prior: DiffusersPrior) -> dict[str, Any]:
    """The configuration of the schedule. Raises `InvalidInput` for what it cannot say."""
    schedule, score = prior.schedule, prior.prediction_type == "score"
    usual = (0.0, 1.0) if score else (-1.0, 1.0)
    if prior.value_range != usual:
        raise InvalidInput(
            "value_range",
            given=prior.value_range,
            expected=f"{usual}, the range of such a folder, which cannot say another",
        )
    if score:
        if not isinstance(schedule, VE):
            raise InvalidInput(
                "schedule", given=type(schedule).__name__, expected="VE, where a score is predicted"
            )
        return {
            "_class_name": "ScoreSdeVeScheduler",
            "sigma_min": schedule.sigma_min,
            "sigma_max": schedule.sigma_max,
        }
    if not isinstance(schedule, VPTabulated) or schedule.time_scale != 1:
        raise InvalidInput(
            "schedule",
            given=f"a {type(schedule).__name__}"
            f"{', told to the network as 1000 k / n' if hasattr(schedule, 'betas') else ''}",
            expected="a table whose entries the network is told, or VE with a score: a scheduler "
            "of diffusers that says so",
        )
    config: Any = prior.unet.config
    learned = config.out_channels == 2 * config.in_channels
    return {
        "_class_name": "DDPMScheduler",
        "num_train_timesteps": schedule.num_steps,
        "trained_betas": [float(value) for value in schedule.betas],
        "prediction_type": prior.prediction_type,
        "variance_type": "learned_range" if learned else "fixed_small",
        "clip_sample": False,
    }


@torch.no_grad()
def _check(prior: DiffusersPrior, folder: Path) -> None:
    """Raise `InvalidInput` where the folder does not answer like the prior."""
    again = diffusers.load(folder, dtype=prior.network_dtype, device=prior.device)
    x_t = torch.linspace(-1, 1, math.prod(prior.event_shape), dtype=prior.dtype).sin_()
    x_t = x_t.reshape(1, *prior.event_shape).to(prior.device)
    t = torch.full((1,), 0.5, dtype=torch.float64)
    if prior.num_classes is not None:
        label = torch.zeros(1, dtype=torch.long)
        prior, again = prior.given(class_labels=label), again.given(class_labels=label)
    ours, theirs = prior.denoise(x_t, t), again.denoise(x_t, t)
    apart = float((ours - theirs).norm() / ours.norm())
    same = apart < (_TOLERANCE if prior.network_dtype == prior.dtype else 1e-2)
    if not same or _heads(prior) != _heads(again):
        raise InvalidInput(
            "prior",
            given=f"a network whose folder answers otherwise (relative difference {apart:.2g})",
            expected="one that the configuration of UNet2DModel describes: heads of one size, "
            "which a fixed number of heads at several widths has not",
        )


def _heads(prior: DiffusersPrior) -> list[object]:
    """The heads of each attention layer, which answers may hardly show."""
    return [getattr(module, "heads", None) for module in prior.unet.modules()]


def _write(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n")
