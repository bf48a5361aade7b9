"""A prior of protein backbones that is any network or function of the user's own.

f(x_t, level, mask) predicts the noise, or another `prediction` (deft.priors.predictions), of
C-alpha traces x_t (batch, places, 3) in angstrom; `level` is what it is `told` of the noise level,
one per chain; `mask` (batch, places) says which residues exist.

    index      k, the entry of the table of a VPTabulated schedule
    time       t in [0, 1], 0 = clean, 1 = noise
    log_snr    log(alpha_t^2 / sigma_t^2)

or whatever a function of t returns. A network that knows chains in other units (nanometres, or
angstrom / 10) is wrapped by a function that converts x_t and what it returns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from jaxtyping import Bool
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.priors import predictions
from deft.priors.backbone import BackbonePrior
from deft.priors.callable import answer
from deft.priors.predictions import Prediction
from deft.schedules import Schedule, VPTabulated
from deft.storage.fingerprint import fingerprint
from deft.types import Signal, Times

Network = Callable[[Tensor, Tensor, Tensor], Tensor]  # of x_t, the level, the mask
LEVELS = ("index", "time", "log_snr")


@final
class CallableBackbone(BackbonePrior):
    """A function of (x_t, level, mask) as a prior of chains of up to `max_length` residues.

    `scale` is the standard deviation of a coordinate in angstrom; `centred` says that chains, and
    the noise that the network knows, have their mean over the residues at 0; `padded` that it has
    to see `max_length` places whatever the length of a chain. A module is registered and frozen in
    place, and its weights count for the identity; a function has `identity`, a text that says
    which one it is. Where `differentiable` is False it is called without gradients. Raises
    `InvalidInput` for another `told` or `prediction`, and for an index without a table.
    """

    def __init__(
        self,
        network: Network,
        schedule: Schedule,
        max_length: int,
        *,
        scale: float,
        prediction: str | Prediction = "epsilon",
        told: str | Callable[[Times], Tensor] = "time",
        centred: bool = True,
        padded: bool = False,
        min_length: int = 2,
        differentiable: bool = True,
        identity: str | None = None,
        name: str = "backbone",
    ) -> None:
        self.min_length = checks.whole("min_length", min_length, meaning="the shortest chain")
        super().__init__(max_length)
        if not callable(network):
            raise InvalidInput(
                "network",
                given=type(network).__name__,
                expected="a function of (x_t, level, mask), or a torch.nn.Module",
            )
        self.network, self.schedule = network, schedule
        self.scale = checks.positive(
            "scale", scale, "the standard deviation of a coordinate, in angstrom"
        )
        self.centred, self.padded, self.differentiable = centred, padded, differentiable
        self._prediction = predictions.prediction(prediction)
        self._level, self._told = level(told, schedule), told if isinstance(told, str) else "own"
        self._identity, self._name, self._asked = identity, name, False
        self.frozen()

    @property
    def prediction(self) -> str:  # type: ignore[override]
        """What the network returns."""
        return self._prediction.name

    @property
    def name(self) -> str:
        return self._name

    def estimate(self, x_t: Signal, t: Times, mask: Bool[Tensor, "batch places"]) -> Signal:
        with torch.set_grad_enabled(self.differentiable and torch.is_grad_enabled()):
            alpha_t, sigma_t = self.levels(x_t, t)
            told = self._level(t).to(x_t.device).expand(len(x_t))
            if told.is_floating_point():
                told = told.to(torch.promote_types(x_t.dtype, torch.float32))
            given = self._prediction.given(x_t, alpha_t, sigma_t).to(self._given_dtype(x_t))
            first, self._asked = not self._asked, True
            f = answer(
                f"the network of {self.name}", self.network(given, told, mask), x_t, finite=first
            )
            return self._prediction.x_0_hat(f, x_t, alpha_t, sigma_t)

    def identity(self) -> dict[str, object]:
        """As for any chain prior; the hash covers the text given as `identity` and what the network
        is told, and is None for a function without a text.
        """
        known = super().identity()
        if self._identity is None and known["hash"] is None:
            return known
        told = [self._identity, known["hash"], self._told, self.centred]
        return {**known, "hash": fingerprint(*map(str, told))[:16]}

    def _given_dtype(self, x_t: Signal) -> torch.dtype:
        """The precision that the network computes in: half where its weights are, else of x_t."""
        half = self.network_dtype in (torch.float16, torch.bfloat16)
        return self.network_dtype if half else x_t.dtype


def level(told: str | Callable[[Times], Tensor], schedule: Schedule) -> Callable[[Times], Tensor]:
    """What a network is told, as a function of t. Raises `InvalidInput` for another name, and for
    an index where the schedule has no table.
    """
    if callable(told):
        return told
    name = checks.name("told", told, LEVELS)
    if name == "time":
        return lambda t: t
    if name == "log_snr":
        return schedule.log_snr
    if not isinstance(schedule, VPTabulated):
        raise InvalidInput(
            "told",
            given=f"index, with {type(schedule).__name__}",
            expected="time or log_snr: only a VPTabulated schedule has a table",
        )
    return schedule.told
