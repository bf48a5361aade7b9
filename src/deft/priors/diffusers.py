"""Priors saved by Hugging Face diffusers: a `UNet2DModel`, or a whole DDPM, DDIM or score-SDE (VE) pipeline.

What its network predicts (epsilon, sample, v_prediction, or the score of a network that is told sigma_t) is turned into x_0_hat by deft.priors.predictions.

The table of betas becomes a `VPTabulated`, whose entries are the timesteps that the network is told. A network with a head for the variance has twice
as many channels; the first half is the prediction.
"""

from __future__ import annotations

import copy
import inspect
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from deft import checks
from deft.errors import CheckpointError, InvalidInput
from deft.priors import diffusers_schedulers, predictions
from deft.priors.base import Prior
from deft.schedules import VE, Schedule, VPTabulated
from deft.storage.bounded_json import parsed
from deft.types import Signal, Times

PREDICTION_TYPES = ("epsilon", "sample", "v_prediction", "score")
_MOST_WEIGHTS = 20_000_000_000
_LARGE = 50_000_000  # parameters from which the probe asks for shapes alone
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
        checks.name("prediction_type", prediction_type, PREDICTION_TYPES)
        if value_range is not None:
            value_range = checks.finite_range("value_range", value_range, "the values of signals")
        if scale is not None:
            scale = checks.positive("scale", scale, "the standard deviation of x_0")
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
        if getattr(config, "class_embed_type", None) is not None:
            raise InvalidInput(
                f"{name}: class_embed_type",
                given=config.class_embed_type,
                expected="none: labels of a table (num_class_embeds), or an unconditional network",
                advice="wrap the network with CallablePrior, which calls your own function",
            )
        self.unet, self.schedule, self.prediction_type, self._name = unet, schedule, prediction_type, name
        self.event_shape, self.value_range = (config.in_channels, height, width), value_range
        self.scale = float(scale if scale is not None else 0.25 * (value_range[1] - value_range[0]))  # type: ignore[index]
        self.num_classes: int | None = config.num_class_embeds
        self.class_labels: Tensor | None = None
        self.frozen()
        probe(self)

    @property
    def name(self) -> str:
        return self._name

    @property
    def prediction(self) -> str:  # type: ignore[override]
        return self.prediction_type

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
            if self.num_classes is None:
                return super().given(**context)  # type: ignore[return-value]
            raise InvalidInput(f"the context of {self.name}", given=", ".join(context) or "nothing", expected="class_labels")
        try:
            labels = torch.as_tensor(context["class_labels"]).reshape(-1).cpu()
        except (TypeError, ValueError, RuntimeError) as error:
            raise InvalidInput("class_labels", given=context["class_labels"], expected="whole numbers, the classes") from error
        whole = not labels.is_floating_point() and not labels.is_complex() and labels.dtype != torch.bool
        if not whole or not len(labels) or bool(((labels < 0) | (labels >= self.num_classes)).any()):
            raise InvalidInput(
                "class_labels",
                given=labels.tolist(),
                expected=f"whole numbers from 0 to {self.num_classes - 1}, the classes of {self.name}: one for all signals, or one for each",
            )
        return self._labelled(labels)

    def _labelled(self, labels: Tensor) -> DiffusersPrior:
        other = copy.copy(self)
        other.class_labels = labels
        return other

    def denoise(self, x_t: Signal, t: Times) -> Signal:
        alpha_t, sigma_t = self.levels(x_t, t)
        out = self.unet(x_t.to(self.network_dtype), self._told(t).expand(len(x_t)), *self._labels(x_t)).sample
        return predictions.prediction(self.prediction_type).x_0_hat(out[:, : x_t.shape[1]].to(x_t.dtype), x_t, alpha_t, sigma_t)

    def _told(self, t: Times) -> Tensor:
        """What the network is told of the time: the entry of the table, or sigma_t."""
        if isinstance(self.schedule, VPTabulated):
            return self.schedule.index(t)
        return self.schedule.sigma(t).to(self.network_dtype)

    def _labels(self, x_t: Signal) -> tuple[Tensor, ...]:
        if self.num_classes is None:
            return ()
        if self.class_labels is None:
            raise InvalidInput(
                "class_labels", given="nothing", expected=f"the classes, since {self.name} is class-conditional", advice="use prior.given(class_labels=...)"
            )  # fmt: skip
        if len(self.class_labels) not in (1, len(x_t)):
            raise InvalidInput(
                f"{self.name}: class_labels",
                given=f"{len(self.class_labels)} labels for {len(x_t)} signals",
                expected="one label for all signals, or one for each",
                advice="training draws batches of other signals each time, so that it takes one label for all",
            )
        return (self.class_labels.to(x_t.device).expand(len(x_t)),)


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

    The folder holds a pipeline (`model_index.json`) or a `UNet2DModel` (`config.json`), with the scheduler's configuration in `scheduler/` or beside it;
    `schedule` (or the name of a table: `diffusers_schedulers.NAMED`) and `prediction_type` replace what that says; `subfolder` names one of several networks. `value_range` is (-1, 1) if left out, (0, 1) for a score-SDE. The network is
    asked once, for one signal (shapes alone, where it is large), so that one that cannot run is refused here. Raises `InvalidInput` for a folder that holds no
    such network, a latent pipeline, or a configuration that is not known, and `CheckpointError` where files are missing, unreadable, out of reach, or not finite.
    """
    if isinstance(schedule, str):
        schedule = diffusers_schedulers.named(schedule)
    folder = _resolve(path_or_hub_id)
    root = _root(folder, path_or_hub_id, subfolder)
    config = _read(root / "config.json", f"{path_or_hub_id} holds no UNet2DModel: expected config.json or unet/config.json")
    if config.get("_class_name") != "UNet2DModel":
        raise InvalidInput(
            f"{path_or_hub_id} holds a {config.get('_class_name')}; this adapter takes a UNet2DModel or a DDPM, DDIM or score-SDE pipeline."
        )
    _check_sizes(config, root / "config.json")
    _check_known(config, root / "config.json")
    from_scheduler = None if schedule is not None and prediction_type is not None else _scheduler(folder)
    if schedule is None and from_scheduler is None:
        raise InvalidInput(
            f"{path_or_hub_id} has no scheduler_config.json",
            given="no noise schedule",
            expected="that under which the network was trained",
            advice=f"give `schedule` (one of {', '.join(diffusers_schedulers.NAMED)}, or a Schedule); linear is DDPM's usual table",
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


@torch.no_grad()
def probe(prior: DiffusersPrior) -> None:
    """Ask the network once, for one signal without noise, or, where it is large, for the shape of its answer alone.

    Raises `InvalidInput` where it cannot run on signals of its configuration, and `CheckpointError` where weights or its answer are not finite.
    """
    broken = [name for name, value in prior.unet.state_dict().items() if value.is_floating_point() and not bool(value.isfinite().all())]
    if broken:
        more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        raise CheckpointError(f"{prior.name}", given=f"NaN or infinite values in {', '.join(broken[:3])}{more}", expected="finite weights")
    asked = prior if prior.num_classes is None else prior.given(class_labels=torch.zeros(1, dtype=torch.long))
    large = prior.num_parameters > _LARGE
    if large:
        asked = copy.copy(asked)
        asked._modules = dict(asked._modules) | {"unet": _empty(prior.unet)}
    device = torch.device("meta") if large else prior.device
    x_t = torch.zeros(1, *prior.event_shape, dtype=prior.dtype, device=device)
    config: Any = prior.unet.config
    try:
        out = asked.unet(x_t.to(prior.network_dtype), asked._told(torch.full((1,), 0.5)).to(device), *asked._labels(x_t)).sample
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise InvalidInput(
            f"{prior.name}: sample_size",
            given=config.sample_size,
            expected=f"a height and width that the network can take; it halves them {len(config.block_out_channels) - 1} times",
            advice=f"the network said: {_first_line(error)}",
        ) from error
    if out.shape[2:] != x_t.shape[2:]:
        raise InvalidInput(
            f"{prior.name}: sample_size", given=config.sample_size, expected="one that comes back in the size that it went in"
        )
    if not large and not bool(out.isfinite().all()):
        raise CheckpointError(f"{prior.name}", given="NaN or infinite values in its answer to a signal of zeros", expected="finite numbers")


def _empty(unet: nn.Module) -> nn.Module:
    """The same network without weights."""
    with torch.device("meta"):
        return type(unet).from_config(unet.config)  # type: ignore[attr-defined]


def _root(folder: Path, given: str | Path, subfolder: str | None) -> Path:
    """Where the network is. Raises `InvalidInput` for a latent pipeline, and where there are several and none was named."""
    index = _read(folder / "model_index.json", "") if (folder / "model_index.json").is_file() else {}
    parts = sorted(part for part in _LATENT if (folder / part).is_dir() or isinstance(index.get(part), list))
    if parts:
        raise InvalidInput(
            f"{given}",
            given=f"a {index.get('_class_name', 'pipeline')} with {', '.join(parts)}",
            expected="a network of pixels: this one works on latents or embeddings, which are not images",
        )
    if subfolder is not None:
        if not (folder / subfolder / "config.json").is_file() or ".." in Path(subfolder).parts:
            raise InvalidInput("subfolder", given=subfolder, expected=f"one of {', '.join(_networks(folder)) or 'none'}, in {given}")
        return folder / subfolder
    networks = _networks(folder)
    if len(networks) > 1:
        advice = f"give subfolder={next((name for name in networks if 'ema' in name), networks[0])!r}, say; averaged (ema) weights usually sample better"
        raise InvalidInput(f"{given}", given=f"several networks: {', '.join(networks)}", expected="one", advice=advice)
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
            raise InvalidInput(f"{file}: {key}", given=value, expected=f"a whole number from 1 to {most}")
    size, channels = config.get("sample_size"), config.get("block_out_channels", [1])
    sizes = size if isinstance(size, list) else [size]
    if size is not None and (not 1 <= len(sizes) <= 2 or not all(fits(one, 16_384) for one in sizes)):
        raise InvalidInput(f"{file}: sample_size", given=size, expected="a whole number, or a height and a width")
    if not isinstance(channels, list) or not 1 <= len(channels) <= 16 or not all(fits(one, 16_384) for one in channels):
        raise InvalidInput(f"{file}: block_out_channels", given=channels, expected="a list of 1 to 16 whole numbers")


def _check_known(config: dict[str, Any], file: Path) -> None:
    """Raise `InvalidInput` for a setting that UNet2DModel does not have, which it would leave out in silence, or that is of another type."""
    from diffusers.models.unets.unet_2d import UNet2DModel

    known = inspect.signature(UNet2DModel.__init__).parameters
    unknown = [key for key in config if not key.startswith("_") and key not in known]
    if unknown:
        raise InvalidInput(
            f"{file}: {unknown[0]}",
            given=config[unknown[0]],
            expected="a setting of UNet2DModel; the installed diffusers would leave it out",
            advice="update diffusers, or take it out of the file if the network does not depend on it",
        )
    for key in ("norm_eps", "mid_block_scale_factor", "dropout"):
        if key in config:
            checks.non_negative(f"{file}: {key}", config[key])
    if config.get("mid_block_type", "UNetMidBlock2D") not in ("UNetMidBlock2D", None):
        raise InvalidInput(f"{file}: mid_block_type", given=config["mid_block_type"], expected="UNetMidBlock2D or null")
    layers, channels = config.get("layers_per_block", 2), config.get("block_out_channels", [1])
    weights = sum(36 * c * c * layers for c in channels)  # two convolutions of 3 x 3 in each block, on the way down and up
    if weights > _MOST_WEIGHTS:
        raise InvalidInput(f"{file}: block_out_channels", given=channels, expected=f"a network of at most {_MOST_WEIGHTS:.0e} parameters")


def _scheduler(folder: Path) -> tuple[Schedule, str] | None:
    """The schedule and the prediction type that the scheduler's configuration says (deft.priors.diffusers_schedulers)."""
    files = [folder / "scheduler" / "scheduler_config.json", folder / "scheduler_config.json", folder / "unet" / "scheduler_config.json"]
    file = next((file for file in files if file.is_file()), None)
    return None if file is None else diffusers_schedulers.read(_read(file, f"{file} is missing"), str(file))


def _unet(root: Path, given: str | Path, dtype: torch.dtype | None) -> nn.Module:
    from diffusers.models.unets.unet_2d import UNet2DModel

    variant = _variant(root, given)
    try:
        unet, info = UNet2DModel.from_pretrained(
            str(root), torch_dtype=dtype, low_cpu_mem_usage=False, local_files_only=True, variant=variant, output_loading_info=True
        )
    except PermissionError as error:
        raise CheckpointError(f"{error.filename or root} cannot be read: permission denied.") from error
    except Exception as error:  # diffusers raises OSError, ValueError, RuntimeError and safetensors' own for one damaged file
        raise CheckpointError(f"the weights of {given} could not be read ({_first_line(error)}); save or download them again.") from error
    for said, what in (("missing_keys", "left out"), ("unexpected_keys", "that the network does not have")):
        names = [str(name) for name in info.get(said, [])]
        if names:
            raise CheckpointError(
                f"the weights of {given}",
                given=f"{len(names)} tensors {what}, such as {', '.join(sorted(names)[:3])}",
                expected="the weights of the network that config.json describes, all of them and no others",
            )
    return unet


def _variant(root: Path, given: str | Path) -> str | None:
    """The variant of the weights in a folder: none, or "fp16" where that is all there is. Raises `CheckpointError` where there are no weights."""
    kinds = ("safetensors", "bin", "safetensors.index.json", "bin.index.json")
    if any((root / f"diffusion_pytorch_model.{kind}").is_file() for kind in kinds):
        unreadable = [file for file in root.glob("diffusion_pytorch_model.*") if not os.access(file, os.R_OK)]
        if unreadable:
            raise CheckpointError(f"{unreadable[0]} cannot be read: permission denied.")
        return None
    variants = sorted({file.name.split(".")[1] for file in root.glob("diffusion_pytorch_model.*.safetensors") if "-of-" not in file.name})
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
    try:
        content = parsed(file.read_bytes(), str(file))
    except FileNotFoundError as error:
        raise InvalidInput(f"{missing}.") from error
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read ({error.strerror or error}).") from error
    except InvalidInput as error:
        raise CheckpointError(f"{file} is no readable JSON", given=error.given, expected=error.expected) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{file}", given=content, expected="a JSON object")
    return content


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
