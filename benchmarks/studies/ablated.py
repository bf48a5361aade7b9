"""Learned h-transforms that read less, or something else: for comparisons.

    shift = u ( NN1(what it reads, log-SNR_t, log(sigma_y + 1e-3)) + NN2(log-SNR_t, sigma_y) g )

g is one of what it reads, or nothing; u is r_t, and sigma_t / alpha_t where g is a raw gradient, as
in the paper (deft.htransforms.paper). It may read

    x_t, x_0_hat        in units of their standard deviations
    lift, coverage
            as deft.htransforms.learned does; with x_t, x_0_hat and guidance it is that network
    octaves             sin and cos of 2^j lift, j = 0, 1, 2, as deft.htransforms.flat does
    adjoint             A^T y / ||A||^2, the measurement alone, of tomography
    guidance            r_t g of deft.htransforms.learned, of order one at every noise level
    gradient            A^T (y - A x_0_hat) / sigma_y^2, the paper's
    back_projection
            FBP(y - A x_0_hat) / sigma_y^2, which the paper's code has in place of it, of tomography
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Unpack, final

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.htransforms.base import HTransform
from deft.htransforms.body import SMALL, Shape, plain, sized, unet
from deft.likelihoods import Observation
from deft.networks import MLP
from deft.operators.tomography import Tomography
from deft.operators.units import InUnits
from deft.priors.base import Prior
from deft.priors.denoised import Denoised
from deft.types import Signal, expand

READS = (
    "x_t",
    "x_0_hat",
    "lift",
    "coverage",
    "octaves",
    "adjoint",
    "guidance",
    "gradient",
    "back_projection",
)
OCTAVES = 3
RAW = ("gradient", "back_projection")


@final
class Ablated(HTransform):
    """An h-transform that reads `reads`, and adds `follows`, one of them, weighted by NN2."""

    scale: Tensor

    def __init__(
        self,
        event_shape: Sequence[int],
        scale: float,
        *,
        reads: Sequence[str],
        follows: str | None,
        **shape: Unpack[Shape],
    ) -> None:
        super().__init__()
        if unknown := set(reads) - set(READS):
            raise InvalidInput(
                f"an ablated h-transform reads {', '.join(READS)}; got {', '.join(unknown)}."
            )
        shape = {**SMALL, **shape}
        self.config = {
            "event_shape": list(event_shape),
            "reads": list(reads),
            "follows": follows,
            **plain(shape),
        }
        self.reads, self.follows = tuple(reads), follows
        self.register_buffer("scale", torch.tensor(float(scale)))
        wide = {"coverage": 1, "octaves": 2 * OCTAVES * event_shape[0]}
        seen = sum(wide.get(name, event_shape[0]) for name in reads)
        self.nn1 = unet(event_shape, seen, numbers=2, shape=shape)
        self.nn2 = (
            None if follows is None else MLP(2, 1, width=32, bias=0.01 if follows in RAW else 1.0)
        )
        self._norms: dict[int, float] = {}

    @classmethod
    def for_prior(
        cls,
        prior: Prior,
        fraction: float,
        reads: Sequence[str],
        follows: str | None,
        *,
        patch: int | None = None,
        fine: int = 0,
    ) -> Ablated:
        """One with about `fraction` of the prior's parameters."""
        return sized(partial(cls, reads=reads, follows=follows), prior, fraction, 1, patch, fine)

    def shift(self, denoised: Denoised, observation: Observation) -> Signal:
        batch = len(denoised.x_t)
        with torch.autocast(
            denoised.x_t.device.type, enabled=False
        ):  # half precision is for networks, not for operators
            seen = {name: self._read(name, denoised, observation) for name in self.reads}
        numbers = torch.stack(
            [denoised.log_snr.expand(batch), 2 * (observation.sigma_y + 1e-3).log().expand(batch)],
            dim=1,
        )
        output = self.nn1(torch.cat([seen[name] for name in self.reads], dim=1), numbers)
        if self.nn2 is not None and self.follows is not None:
            output = output + expand(self.nn2(numbers)[:, 0], output) * seen[self.follows]
        unit = (
            denoised.sigma_t / denoised.alpha_t
            if self.follows in RAW
            else expand(self._spread(denoised), output)
        )
        return unit * output

    def _spread(self, denoised: Denoised) -> Tensor:
        alpha_t, sigma_t = denoised.alpha_t.flatten(), denoised.sigma_t.flatten()
        return self.scale * sigma_t / (alpha_t**2 * self.scale**2 + sigma_t**2).sqrt()

    def _read(self, name: str, denoised: Denoised, observation: Observation) -> Signal:
        x_t, x_0_hat, operator = denoised.x_t, denoised.x_0_hat, observation.operator
        match name:
            case "x_t":
                return x_t / (denoised.alpha_t**2 * self.scale**2 + denoised.sigma_t**2).sqrt()
            case "x_0_hat":
                return x_0_hat / self.scale
            case "coverage":
                return operator.coverage(x_t).expand(len(x_t), -1, -1, -1)
            case "lift" | "octaves":
                lift = operator.align(observation.lifted.expand_as(x_0_hat), x_0_hat) / self.scale
                angles = torch.cat([2.0**j * lift for j in range(OCTAVES)], dim=1)
                return lift if name == "lift" else torch.cat([angles.sin(), angles.cos()], dim=1)
            case "guidance":
                return observation.likelihood.guidance(
                    x_0_hat, self._spread(denoised), observation.y
                )
            case "gradient":
                back = operator.adjoint(observation.residual(x_0_hat))  # type: ignore[operator]
                return back / expand(observation.sigma_y**2, back)
        if not isinstance(operator, InUnits) or not isinstance(operator.operator, Tomography):
            raise InvalidInput(
                f"{name} is read of tomography in units; got {type(operator).__name__}."
            )
        if name == "adjoint":
            size = self._norm(operator.operator) * abs(operator.scale)
            return operator.adjoint(observation.residual(torch.zeros_like(x_0_hat))) / (
                size**2 * self.scale
            )
        back = operator.operator.lift(observation.residual(x_0_hat)) / operator.scale
        return back / expand(observation.sigma_y**2, back)

    def _norm(self, operator: Tomography) -> float:
        """||A||, once for each number of views."""
        key = hash(operator.angles.numpy().tobytes())
        if key not in self._norms:
            self._norms[key] = float(operator.norm().max())
        return self._norms[key]
