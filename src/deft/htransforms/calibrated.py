"""Calibration of an h-transform: what its error still has in common with x_t, taken out band by
band.

    x_0_hat(y) = x_0_hat + shift_h,    u = x_t / alpha_t
    shift      = shift_h + sum_b slope_b(log-SNR) [u - x_0_hat(y)]_b,    b the bands of frequencies

The error of E[x_0 | x_t, y] is orthogonal to all that x_t says. Networks miss this at low noise:
there x_t determines coarse structure far better than they can say it, and an estimate that follows
x_t too little draws samples that are narrower than the posterior. slope_b = E <x_0 - x_0_hat(y), u
- x_0_hat(y)>_b / E ||u - x_0_hat(y)||_b^2 is the least-squares correction
(deft.metrics.orthogonality), measured on images that were set aside or trained on: nothing is
learned by gradients, and on them the mean square error falls in every band. A step costs two
Fourier transforms. Only the estimate E[x_0 | x_t, y] enters, so that it holds too where the prior
was asked elsewhere than at x_t.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.htransforms.applies import made_for
from deft.htransforms.base import HTransform
from deft.htransforms.composed import Wrapped
from deft.likelihoods import Observation
from deft.priors.base import Prior
from deft.priors.denoised import Asked, Denoised
from deft.types import Signal

EDGES = (0.0, 0.01, 0.02, 0.03, 0.045, 0.06, 0.08, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5, 1.0)


@final
class Calibrated(Wrapped):
    """An h-transform with the slopes of its error taken out; `deft.training.calibrate.calibrate`
    measures them.

    `low` and `high` are the ends of the log-SNRs at which slopes are kept, `levels` of them, linear
    between; below `low` the h-transform is left as it is, above `high` the last slopes hold.
    Signals are (channels, *space) of any size. `scale` is not used. Raises `InvalidInput` for
    vectors, which have no frequencies.
    """

    slopes: Float[Tensor, "levels bands"]
    band: Int[Tensor, "*space"]

    def __init__(
        self,
        h_transform: HTransform,
        event_shape: Sequence[int],
        *,
        low: float,
        high: float,
        levels: int = 10,
        scale: float | None = None,
    ) -> None:
        super().__init__(h_transform)
        if len(event_shape) < 2:
            raise InvalidInput(
                "Calibrated corrects frequencies, and vectors have none",
                given=tuple(event_shape),
                expected="signals of shape (channels, *space)",
                advice=f"use {type(h_transform).__name__} as it is",
            )
        low, high = checks.finite_range(
            "low, high", (low, high), "the log-SNRs between which slopes are kept"
        )
        levels = checks.whole("levels", levels, least=2, most=10_000, meaning="from low to high")
        self.low, self.high = low, high
        self.settings = {
            "event_shape": list(event_shape),
            "low": low,
            "high": high,
            "levels": levels,
        }
        with torch.device(
            "cpu"
        ):  # numbers of the shape alone, also where the weights are not made yet
            self.edges = bands(event_shape[1:])
            frequency = radial_frequency(event_shape[1:])
        places = torch.bucketize(
            frequency, torch.tensor(self.edges[1:-1], dtype=torch.float64, device="cpu"), right=True
        )
        self.register_buffer("band", places, persistent=False)
        self.register_buffer("slopes", torch.zeros(levels, len(self.edges) - 1))

    @property
    def config(self) -> dict[str, object]:
        """The arguments that build it."""
        return {"h_transform": self.h_transform, **self.settings}

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of the signals that it was made for."""
        return tuple(self.settings["event_shape"])  # type: ignore[arg-type]

    def check(self, prior: Prior, observation: Observation) -> None:
        made_for(self, self.event_shape, prior)
        super().check(prior, observation)

    def trainable(self) -> HTransform:
        """The h-transform without its slopes, which are those of its weights."""
        return self.h_transform

    @property
    def levels(self) -> Float[Tensor, " levels"]:
        """The log-SNRs at which slopes are kept."""
        return torch.linspace(self.low, self.high, len(self.slopes), dtype=torch.float64)

    def shift(self, denoised: Denoised | Asked, observation: Observation) -> Signal:
        return self._corrected(self.h_transform.shift(denoised, observation), denoised)  # type: ignore[arg-type]

    def check_measured(
        self, prior: Prior, observation: Observation, event_shape: Sequence[int]
    ) -> None:
        """That of the h-transform (deft.htransforms.tiled)."""
        self.h_transform.check_measured(prior, observation, event_shape)  # type: ignore[operator]

    def inputs(self, denoised: Denoised | Asked, observation: Observation) -> dict[str, Signal]:
        """What the h-transform's network reads, by name."""
        return self.h_transform.inputs(denoised, observation)  # type: ignore[operator,no-any-return]

    def noise(self, observation: Observation, event_shape: Sequence[int]) -> Tensor:
        """The noise in y, as the h-transform reads it."""
        return self.h_transform.noise(observation, event_shape)  # type: ignore[operator,no-any-return]

    def answer(
        self, inputs: dict[str, Signal], denoised: Denoised | Asked, noise: Tensor
    ) -> Signal:
        """The shift, of what `inputs` read."""
        shift = self.h_transform.answer(inputs, denoised, noise)  # type: ignore[operator]
        return self._corrected(shift, denoised)

    def _corrected(self, shift: Signal, denoised: Denoised | Asked) -> Signal:
        left = denoised.x_t / denoised.alpha_t - denoised.x_0_hat - shift
        axes = tuple(range(2, left.ndim))
        gain = self._slopes_at(denoised.log_snr.flatten()).to(left)[
            :, self.band
        ]  # (batch or 1, *space)
        result: Signal = (
            shift + torch.fft.ifftn(gain[:, None] * torch.fft.fftn(left, dim=axes), dim=axes).real
        )
        return result

    def _slopes_at(self, log_snr: Float[Tensor, " batch"]) -> Float[Tensor, "batch bands"]:
        """Linear between the levels; nothing below the lowest."""
        last = len(self.slopes) - 1
        place = ((log_snr.double() - self.low) / (self.high - self.low) * last).clamp(max=last)
        below = place.floor().long().clamp(0, last - 1)
        slopes = torch.lerp(
            self.slopes[below].double(), self.slopes[below + 1].double(), (place - below)[:, None]
        )
        return slopes * (place >= 0)[:, None]


def radial_frequency(space: Sequence[int]) -> Float[Tensor, "*space"]:
    """|f| of each Fourier coefficient, in cycles per entry."""
    parts = torch.meshgrid(
        *(torch.fft.fftfreq(n, dtype=torch.float64) for n in space), indexing="ij"
    )
    return torch.stack(parts).square().sum(0).sqrt()


def bands(space: Sequence[int]) -> tuple[float, ...]:
    """The edges of bands in which signals of that size have frequencies: those of 128 x 128, fewer
    where the signal is smaller.
    """
    frequency = radial_frequency(space)
    edges = [EDGES[0]]
    for low, high in pairwise(EDGES):
        if bool(((frequency >= low) & (frequency < high)).any()):
            edges.append(high)
    return tuple(edges)
