"""A network of Hugging Face diffusers as a prior; deft.priors.diffusers reads one from files.

What its network predicts (epsilon, sample, v_prediction, velocity, EDM's, or the score of a network
that is told sigma_t) is turned into x_0_hat by deft.priors.predictions; what it is told of t is in
deft.priors.diffusers_process, what it is told beside that in deft.priors.diffusers_networks.

A table of betas becomes a `VPTabulated`, whose entries are the timesteps that the network is told.
A network with a head for the variance has twice as many channels; the first half is the prediction.
"""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn

from deft import checks
from deft.errors import InvalidInput
from deft.priors import predictions
from deft.priors.base import Prior
from deft.priors.diffusers_networks import IN_FULL, Taken, network
from deft.priors.diffusers_probe import probe
from deft.priors.diffusers_process import TOLD
from deft.priors.diffusers_process import told as told_of
from deft.priors.predictions import Prediction
from deft.schedules import VE, Schedule, VPTabulated
from deft.storage.fingerprint import of_named
from deft.types import Signal, Times

__all__ = ["PREDICTION_TYPES", "DiffusersPrior"]
PREDICTION_TYPES = ("epsilon", "sample", "v_prediction", "velocity", "score")


@final
class DiffusersPrior(Prior):
    """A network of diffusers as a prior; `diffusers.load` makes one from a folder or a hub id.

    `told` says what the network is told of t ("entry" of the schedule, "c_noise", "angle", or
    "level"), times `factor`; `size` is the height and width of its signals where its configuration
    does not say, or says another. `scale` defaults to a quarter of the value range, which is usual
    for photographs, to EDM's sigma_data, and to 1 where there is no range, as for latents. What it
    is told beside x_t is in `taken`, by name: `prior.given(class_labels=...)`.
    """

    def __init__(
        self,
        unet: nn.Module,
        schedule: Schedule,
        *,
        prediction_type: str | Prediction = "epsilon",
        value_range: tuple[float, float] | None = (-1.0, 1.0),
        scale: float | None = None,
        name: str = "diffusers",
        told: str = "entry",
        factor: float = 1.0,
        size: int | tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        if isinstance(prediction_type, str):
            checks.name("prediction_type", prediction_type, PREDICTION_TYPES)
        checks.name("told", told, TOLD)
        if value_range is not None:
            value_range = checks.finite_range("value_range", value_range, "the values of signals")
        if scale is not None:
            scale = checks.positive("scale", scale, "the standard deviation of x_0")
        if told == "entry" and not isinstance(schedule, (VPTabulated, VE)):
            raise InvalidInput(
                f"{name} is told entries of a table or sigma_t; its own schedule is a VPTabulated "
                f"or a VE, got {type(schedule).__name__}. "
                "Use Rescheduled to run it under another."
            )
        config: Any = getattr(unet, "config", None)
        self._network = network(type(unet).__name__)
        self.taken: dict[str, Taken] = self._network.takes(name, config)
        self.event_shape = (self._channels(name, config), *_sizes(name, config, size))
        self.unet, self.schedule, self._name, self.value_range = unet, schedule, name, value_range
        self._prediction = predictions.prediction(prediction_type)
        self.prediction_type = (
            prediction_type if isinstance(prediction_type, str) else self._prediction.name
        )
        self._told, self._factor = told, factor
        usual = 1.0 if value_range is None else 0.25 * (value_range[1] - value_range[0])
        usual = getattr(self._prediction, "sigma_data", usual)
        self.scale = float(usual if scale is None else scale)
        self.frozen()
        probe(self)

    def _channels(self, name: str, config: Any) -> int:
        channels, out = self._network.channels(config)
        if out not in (channels, 2 * channels):
            raise InvalidInput(
                f"{name} maps {channels} channels to {out}; expected as many, or twice as many "
                "where the variance is learned."
            )
        return channels

    @property
    def name(self) -> str:
        return self._name

    @property
    def prediction(self) -> str:  # type: ignore[override]
        return self.prediction_type

    @property
    def takes(self) -> tuple[str, ...]:  # type: ignore[override]
        """What the network is conditioned on: classes, embeddings of a prompt."""
        return tuple(self.taken)

    @property
    def num_classes(self) -> int | None:
        """How many classes there are; None where there is no table of them."""
        labels = self.taken.get("class_labels")
        return None if labels is None else labels.classes

    @property
    def lacks(self) -> dict[str, Taken]:
        """What it has yet to be told."""
        return {name: one for name, one in self.taken.items() if name not in self.context.values}

    @property
    def distilled(self) -> bool:
        """Whether guidance was distilled into it: its output is then no mean of x_0."""
        return "guidance" in self.taken

    def identity(self) -> dict[str, object]:
        """As for any prior, the hash of the embeddings that it is told for all signals, and whether
        it is `distilled`; classes are no part of it.
        """
        known = super().identity()
        told = {
            name: value
            for name, value in self.context.values.items()
            if self.taken[name].classes is None and len(value) == 1
        }
        if told:
            known["context"] = of_named(told)
        return {**known, "guidance_distilled": True} if self.distilled else known

    def checked_context(self, name: str, value: Tensor) -> Tensor:
        """Classes: whole numbers; embeddings: real numbers of the shape of one signal's, or one of
        these for each signal.
        """
        one = self.taken[name]
        try:
            given = torch.as_tensor(value).cpu()
        except (TypeError, ValueError, RuntimeError) as error:
            raise InvalidInput(name, given=value, expected=str(one)) from error
        if one.classes is not None:
            return self._labels(name, given.reshape(-1), one.classes)
        shaped = given[None] if given.ndim == len(one.shape) else given
        fits = shaped.ndim == len(one.shape) + 1 and all(
            n is None or n == there for n, there in zip(one.shape, shaped.shape[1:])
        )
        if not fits or not shaped.numel() or given.is_complex() or given.dtype == torch.bool:
            raise InvalidInput(
                name,
                given=f"numbers of shape {tuple(given.shape)}",
                expected=f"{one}, for all signals, or one of these for each, as {self.name} takes",
            )
        if not bool(shaped.isfinite().all()):
            raise InvalidInput(name, given="NaN or infinite numbers", expected="finite numbers")
        return shaped if shaped.dtype == torch.float64 else shaped.float()

    def _labels(self, name: str, labels: Tensor, classes: int) -> Tensor:
        real = labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool
        known = not real and bool(((labels >= 0) & (labels < classes)).all())
        if not known or not len(labels):
            raise InvalidInput(
                name,
                given=labels.tolist(),
                expected=f"whole numbers from 0 to {classes - 1}, the classes of "
                f"{self.name}: one for all signals, or one for each",
            )
        return labels

    def denoise(self, x_t: Signal, t: Times) -> Signal:
        alpha_t, sigma_t = self.levels(x_t, t)
        given = self._prediction.given(x_t, alpha_t, sigma_t)
        out = self.asked(given.to(self.network_dtype), t.expand(len(x_t)), self.told(x_t))
        return self._prediction.x_0_hat(out[:, : x_t.shape[1]].to(x_t.dtype), x_t, alpha_t, sigma_t)

    def asked(self, given: Tensor, t: Times, context: dict[str, Tensor]) -> Tensor:
        """What the network returns."""
        told = told_of(self.schedule, self._told, self._factor, t).to(given.device)
        if told.is_floating_point():
            told = told.to(torch.promote_types(self.network_dtype, torch.float32))
        return self._network.ask(self.unet, given, told, context)

    def told(self, x_t: Signal) -> dict[str, Tensor]:
        """Its context for each of these signals, in the precision of its weights. Raises
        `InvalidInput` where something is lacking, with the shapes.
        """
        if self.lacks:
            raise InvalidInput(
                next(iter(self.lacks)),
                given="nothing",
                expected=f"what {self.name} is told beside x_t: {listed(self.lacks)}",
                advice=f"use prior.given({next(iter(self.lacks))}=...)",
            )
        return {
            name: value.to(self.network_dtype)
            if value.is_floating_point() and name not in IN_FULL and self.taken[name].shape
            else value
            for name, value in super().told(x_t).items()
        }


def listed(taken: dict[str, Taken]) -> str:
    """Names and shapes in words."""
    return "; ".join(f"{name} {one}" for name, one in taken.items())


def _sizes(name: str, config: Any, given: int | tuple[int, int] | None) -> tuple[int, int]:
    """Height and width of its signals, as given, or as its configuration says."""
    size = getattr(config, "sample_size", None) if given is None else given
    if size is None:
        raise InvalidInput(
            f"the configuration of {name} has no sample_size",
            given="nothing",
            expected="the height and width that the network was trained with",
            advice="give `image_size`",
        )
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)
