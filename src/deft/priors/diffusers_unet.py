"""A network of Hugging Face diffusers, a `UNet2DModel`, as a prior; deft.priors.diffusers reads one
from files.

What its network predicts (epsilon, sample, v_prediction, or the score of a network that is told
sigma_t) is turned into x_0_hat by deft.priors.predictions.

The table of betas becomes a `VPTabulated`, whose entries are the timesteps that the network is
told. A network with a head for the variance has twice as many channels; the first half is the
prediction.
"""

from __future__ import annotations

import copy
from typing import Any, final

import torch
from torch import Tensor, nn

from deft import checks
from deft.errors import CheckpointError, InvalidInput
from deft.priors import predictions
from deft.priors.base import Prior
from deft.schedules import VE, Schedule, VPTabulated
from deft.types import Signal, Times

PREDICTION_TYPES = ("epsilon", "sample", "v_prediction", "score")
_LARGE = 50_000_000  # parameters from which the probe asks for shapes alone


@final
class DiffusersPrior(Prior):
    """A `UNet2DModel` as a prior; `diffusers.load` makes one from a folder or a hub id.

    `scale` defaults to a quarter of the value range, which is usual for photographs. A
    class-conditional network wants its labels: `prior.given(class_labels=...)`.
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
            raise InvalidInput(
                "give scale, the standard deviation of x_0, where there is no value_range to "
                "guess it from."
            )
        if not isinstance(schedule, (VPTabulated, VE)):
            raise InvalidInput(
                f"{name} is told entries of a table or sigma_t; its own schedule is a VPTabulated "
                f"or a VE, got {type(schedule).__name__}. "
                "Use Rescheduled to run it under another."
            )
        config: Any = unet.config
        size = config.sample_size
        if size is None:
            raise InvalidInput(
                f"the configuration of {name} has no sample_size; set it to the height and width "
                "that the network was trained with."
            )
        height, width = (size, size) if isinstance(size, int) else size
        if config.out_channels not in (config.in_channels, 2 * config.in_channels):
            raise InvalidInput(
                f"{name} maps {config.in_channels} channels to {config.out_channels}; expected as "
                "many, or twice as many where the variance is learned."
            )
        if getattr(config, "class_embed_type", None) is not None:
            raise InvalidInput(
                f"{name}: class_embed_type",
                given=config.class_embed_type,
                expected="none: labels of a table (num_class_embeds), or an unconditional network",
                advice="wrap the network with CallablePrior, which calls your own function",
            )
        self.unet, self.schedule, self.prediction_type, self._name = (
            unet,
            schedule,
            prediction_type,
            name,
        )
        self.event_shape, self.value_range = (config.in_channels, height, width), value_range
        self.scale = float(scale if scale is not None else 0.25 * (value_range[1] - value_range[0]))  # type: ignore[index]
        self.num_classes: int | None = config.num_class_embeds
        self.frozen()
        probe(self)

    @property
    def name(self) -> str:
        return self._name

    @property
    def prediction(self) -> str:  # type: ignore[override]
        return self.prediction_type

    @property
    def takes(self) -> tuple[str, ...]:  # type: ignore[override]
        """The classes, where the network is conditioned on them."""
        return () if self.num_classes is None else ("class_labels",)

    def checked_context(self, name: str, value: Tensor) -> Tensor:
        """Whole numbers, the classes: one for all signals, or one for each."""
        assert self.num_classes is not None
        try:
            labels = torch.as_tensor(value).reshape(-1).cpu()
        except (TypeError, ValueError, RuntimeError) as error:
            raise InvalidInput(name, given=value, expected="whole numbers, the classes") from error
        real = labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool
        known = not real and bool(((labels >= 0) & (labels < self.num_classes)).all())
        if not known or not len(labels):
            raise InvalidInput(
                name,
                given=labels.tolist(),
                expected=f"whole numbers from 0 to {self.num_classes - 1}, the classes of "
                f"{self.name}: one for all signals, or one for each",
            )
        return labels

    def denoise(self, x_t: Signal, t: Times) -> Signal:
        alpha_t, sigma_t = self.levels(x_t, t)
        out = self.unet(
            x_t.to(self.network_dtype), self._time(t).expand(len(x_t)), **self.told(x_t)
        ).sample
        return predictions.prediction(self.prediction_type).x_0_hat(
            out[:, : x_t.shape[1]].to(x_t.dtype), x_t, alpha_t, sigma_t
        )

    def _time(self, t: Times) -> Tensor:
        """What the network is told of the time: the entry of the table, or sigma_t."""
        told = self.schedule.told(t)
        return told.to(self.network_dtype) if told.is_floating_point() else told

    def told(self, x_t: Signal) -> dict[str, Tensor]:
        if self.takes and not self.context.values:
            raise InvalidInput(
                "class_labels",
                given="nothing",
                expected=f"the classes, since {self.name} is class-conditional",
                advice="use prior.given(class_labels=...)",
            )
        return super().told(x_t)


@torch.no_grad()
def probe(prior: DiffusersPrior) -> None:
    """Ask the network once, for one signal without noise, or, where it is large, for the shape of
    its answer alone.

    Raises `InvalidInput` where it cannot run on signals of its configuration, and `CheckpointError`
    where weights or its answer are not finite.
    """
    broken = [
        name
        for name, value in prior.unet.state_dict().items()
        if value.is_floating_point() and not bool(value.isfinite().all())
    ]
    if broken:
        more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        raise CheckpointError(
            f"{prior.name}",
            given=f"NaN or infinite values in {', '.join(broken[:3])}{more}",
            expected="finite weights",
        )
    asked = (
        prior
        if prior.num_classes is None
        else prior.given(class_labels=torch.zeros(1, dtype=torch.long))
    )
    large = prior.num_parameters > _LARGE
    if large:
        asked = copy.copy(asked)
        asked._modules = dict(asked._modules) | {"unet": _empty(prior.unet)}
    device = torch.device("meta") if large else prior.device
    x_t = torch.zeros(1, *prior.event_shape, dtype=prior.dtype, device=device)
    config: Any = prior.unet.config
    try:
        out = asked.unet(
            x_t.to(prior.network_dtype),
            asked._time(torch.full((1,), 0.5)).to(device),
            **asked.told(x_t),
        ).sample
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise InvalidInput(
            f"{prior.name}: sample_size",
            given=config.sample_size,
            expected="a height and width that the network can take; it halves them "
            f"{len(config.block_out_channels) - 1} times",
            advice=f"the network said: {first_line(error)}",
        ) from error
    if out.shape[2:] != x_t.shape[2:]:
        raise InvalidInput(
            f"{prior.name}: sample_size",
            given=config.sample_size,
            expected="one that comes back in the size that it went in",
        )
    if not large and not bool(out.isfinite().all()):
        raise CheckpointError(
            f"{prior.name}",
            given="NaN or infinite values in its answer to a signal of zeros",
            expected="finite numbers",
        )


def _empty(unet: nn.Module) -> nn.Module:
    """The same network without weights."""
    with torch.device("meta"):
        result: nn.Module = type(unet).from_config(unet.config)  # type: ignore[attr-defined]
        return result


def first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
