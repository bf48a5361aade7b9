"""Priors saved by Hugging Face diffusers: a `UNet2DModel`, or a whole DDPM, DDIM or score-SDE (VE) pipeline.

    epsilon        x_0_hat = (x_t - sigma_t f) / alpha_t
    sample         x_0_hat = f
    v_prediction   x_0_hat = alpha_t x_t - sigma_t f                 Salimans & Ho 2022, arXiv:2202.00512, for alpha^2 + sigma^2 = 1
    score          x_0_hat = (x_t + sigma_t^2 f) / alpha_t           score-SDE, whose network is told sigma_t

The table of betas becomes a `VPTabulated`, whose entries are the timesteps that the network is told. A network with a head for the variance has twice
as many channels; the first half is the prediction.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from deft.errors import CheckpointError, InvalidInput, nearest_names
from deft.priors.base import Prior
from deft.schedules import VE, Schedule, VPTabulated
from deft.types import Signal, Times

_ESTIMATE: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "epsilon": lambda f, x_t, alpha_t, sigma_t: (x_t - sigma_t * f) / alpha_t,
    "sample": lambda f, x_t, alpha_t, sigma_t: f,
    "v_prediction": lambda f, x_t, alpha_t, sigma_t: alpha_t * x_t - sigma_t * f,
    "score": lambda f, x_t, alpha_t, sigma_t: (x_t + sigma_t**2 * f) / alpha_t,
}
_BETAS = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "rescale_betas_zero_snr")


@final
class DiffusersPrior(Prior):
    """A `UNet2DModel` as a prior; `load` makes one from a folder or a hub id.

    `scale` defaults to a quarter of the value range, which is usual for photographs. A class-conditional network wants its labels:
    `prior.given(class_labels=...)`.
    """

    def __init__(
        self,
        unet: nn.Module,
        schedule: Schedule,
        *,
        prediction_type: str = "epsilon",
        value_range: tuple[float, float] | None = (-1.0, 1.0),
        scale: float | None = None,
        name: str = "diffusers",
    ) -> None:
        super().__init__()
        if prediction_type not in _ESTIMATE:
            known = list(_ESTIMATE)
            raise InvalidInput(
                f"prediction_type is one of {', '.join(known)}; got {prediction_type!r}{nearest_names(prediction_type, known)}."
            )
        if scale is None and value_range is None:
            raise InvalidInput("give scale, the standard deviation of x_0, where there is no value_range to guess it from.")
        if not isinstance(schedule, (VPTabulated, VE)):
            raise InvalidInput(
                f"{name} is told entries of a table or sigma_t; its own schedule is a VPTabulated or a VE, got {type(schedule).__name__}. "
                "Use Rescheduled to run it under another."
            )
        config: Any = unet.config
        size = config.sample_size
        if size is None:
            raise InvalidInput(
                f"the configuration of {name} has no sample_size; set it to the height and width that the network was trained with."
            )
        height, width = (size, size) if isinstance(size, int) else size
        if config.out_channels not in (config.in_channels, 2 * config.in_channels):
            raise InvalidInput(
                f"{name} maps {config.in_channels} channels to {config.out_channels}; expected as many, or twice as many where the variance is learned."
            )
        self.unet, self.schedule, self.prediction_type, self._name = unet, schedule, prediction_type, name
        self.event_shape, self.value_range = (config.in_channels, height, width), value_range
        self.scale = float(scale if scale is not None else 0.25 * (value_range[1] - value_range[0]))  # type: ignore[index]
        self.num_classes: int | None = config.num_class_embeds
        self.class_labels: Tensor | None = None
        self.frozen()

    @property
    def name(self) -> str:
        return self._name

    @property
    def num_observations(self) -> int:
        return 1 if self.class_labels is None else len(self.class_labels)

    def take(self, index: Sequence[int] | Tensor) -> DiffusersPrior:
        if self.class_labels is None or len(self.class_labels) == 1:
            return self
        return self._labelled(self.class_labels[torch.as_tensor(index)])

    def given(self, **context: Tensor) -> DiffusersPrior:
        """The prior of given classes: `class_labels`, integers, one per signal or one for all."""
        if set(context) != {"class_labels"} or self.num_classes is None:
            takes = "class_labels" if self.num_classes is not None else "no context, being unconditional"
            raise InvalidInput(f"{self.name} takes {takes}; got {', '.join(context) or 'nothing'}.")
        labels = torch.as_tensor(context["class_labels"]).reshape(-1).cpu()
        if labels.is_floating_point() or bool(((labels < 0) | (labels >= self.num_classes)).any()):
            raise InvalidInput(f"class_labels of {self.name} are integers from 0 to {self.num_classes - 1}; got {labels.tolist()}.")
        return self._labelled(labels)

    def _labelled(self, labels: Tensor) -> DiffusersPrior:
        other = copy.copy(self)
        other.class_labels = labels
        return other

    def denoise(self, x_t: Signal, t: Times) -> Signal:
        alpha_t, sigma_t = self.levels(x_t, t)
        out = self.unet(x_t.to(self.weights_dtype), self._told(t).expand(len(x_t)), *self._labels(x_t)).sample
        return _ESTIMATE[self.prediction_type](out[:, : x_t.shape[1]].to(x_t.dtype), x_t, alpha_t, sigma_t)

    def _told(self, t: Times) -> Tensor:
        """What the network is told of the time: the entry of the table, or sigma_t."""
        if isinstance(self.schedule, VPTabulated):
            return self.schedule.index(t)
        return self.schedule.sigma(t).to(self.weights_dtype)

    def _labels(self, x_t: Signal) -> tuple[Tensor, ...]:
        if self.num_classes is None:
            return ()
        if self.class_labels is None:
            raise InvalidInput(f"{self.name} is class-conditional; use prior.given(class_labels=...).")
        return (self.class_labels.to(x_t.device).expand(len(x_t)),)


def load(
    path_or_hub_id: str | Path,
    *,
    prediction_type: str | None = None,
    schedule: Schedule | None = None,
    value_range: tuple[float, float] | None = None,
    scale: float | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> DiffusersPrior:
    """A prior from a local folder or a hub id such as "google/ddpm-celebahq-256".

    The folder holds a pipeline (`model_index.json`) or a `UNet2DModel` (`config.json`), with the scheduler's configuration in `scheduler/` or beside it;
    `schedule` and `prediction_type` replace what that says. `value_range` is (-1, 1) if left out, (0, 1) for a score-SDE. Raises `InvalidInput` for a
    folder that holds neither, and `CheckpointError` where files are missing, unreadable, or out of reach.
    """
    folder = _resolve(path_or_hub_id)
    root = folder / "unet" if (folder / "unet").is_dir() else folder
    config = _read(root / "config.json", f"{path_or_hub_id} holds no UNet2DModel: expected config.json or unet/config.json")
    if config.get("_class_name") != "UNet2DModel":
        raise InvalidInput(
            f"{path_or_hub_id} holds a {config.get('_class_name')}; this adapter takes a UNet2DModel or a DDPM, DDIM or score-SDE pipeline."
        )
    from_scheduler = _scheduler(folder)
    if schedule is None and from_scheduler is None:
        raise InvalidInput(
            f"{path_or_hub_id} has no scheduler_config.json; give schedule=, for example VPTabulated.linear() for DDPM's usual table."
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


def _scheduler(folder: Path) -> tuple[Schedule, str] | None:
    """The schedule and the prediction type that the scheduler's configuration says."""
    files = [folder / "scheduler" / "scheduler_config.json", folder / "scheduler_config.json", folder / "unet" / "scheduler_config.json"]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        return None
    config = _read(file, f"{file} is missing")
    if config.get("_class_name") == "ScoreSdeVeScheduler":
        return VE(config.get("sigma_min", 0.01), config.get("sigma_max", 1348.0)), "score"
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    try:
        table = DDPMScheduler(**{key: config[key] for key in _BETAS if config.get(key) is not None}).betas
    except NotImplementedError as error:
        raise InvalidInput(
            f"{file.name} names the beta schedule {config.get('beta_schedule')!r}, which is not known here; give schedule=."
        ) from error
    return VPTabulated(table.tolist()), config.get("prediction_type", "epsilon")


def _unet(root: Path, given: str | Path, dtype: torch.dtype | None) -> nn.Module:
    from diffusers.models.unets.unet_2d import UNet2DModel

    try:
        return UNet2DModel.from_pretrained(str(root), torch_dtype=dtype, low_cpu_mem_usage=False, local_files_only=True)
    except Exception as error:  # diffusers raises OSError, ValueError, RuntimeError and safetensors' own for one damaged file
        raise CheckpointError(f"the weights of {given} could not be read ({_first_line(error)}); save or download them again.") from error


def _resolve(given: str | Path) -> Path:
    """The local folder of `given`, downloaded if it is a hub id."""
    folder = Path(given).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_file():
        raise InvalidInput(f"{given} is a file; give the folder that save_pretrained wrote, or a hub id such as google/ddpm-celebahq-256.")
    text = str(given)
    if isinstance(given, Path) or text.startswith((".", "/", "~")) or text.count("/") > 1:
        raise InvalidInput(
            f"there is no folder {given}; give the folder that save_pretrained wrote, or a hub id such as google/ddpm-celebahq-256."
        )
    from huggingface_hub import snapshot_download

    try:
        patterns = ["*.json", "*/*.json", "diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.safetensors"]
        local = Path(snapshot_download(text, allow_patterns=patterns))
        if not any(local.glob("**/diffusion_pytorch_model.safetensors")):
            snapshot_download(text, allow_patterns=["diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.bin"])
    except Exception as error:  # the hub client raises its own errors, those of its HTTP library, OSError and ValueError
        raise CheckpointError(
            f"{text} is no local folder, and could not be had from the Hugging Face hub ({_first_line(error)}). Check the name and the connection, or download it "
            "elsewhere and give the folder."
        ) from error
    return local


def _read(file: Path, missing: str) -> dict[str, Any]:
    if not file.is_file():
        raise InvalidInput(f"{missing}.")
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise CheckpointError(f"{file} is no readable JSON ({error}).") from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
