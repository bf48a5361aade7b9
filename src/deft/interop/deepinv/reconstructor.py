"""A posterior sampler as deepinv's reconstructor.

x = model(y, physics)

The prior, the h-transform and the sampler are those of this library; the measurement, its operator
and its noise are deepinv's. Images are in deepinv's [0, 1] again.
"""

from __future__ import annotations

from typing import Any, final

from torch import Tensor, nn

from deft.htransforms.base import HTransform
from deft.interop.deepinv.observation import observation_from_deepinv
from deft.priors.base import Prior
from deft.samplers.arguments import Seed, sample_count
from deft.samplers.base import Sampling
from deft.types import Measurement, Signal


@final
class DeepinvReconstructor(nn.Module):
    """`model(y, physics)`, the mean of `num_samples` samples for each measurement;
    `model.samples(y, physics)` returns them all.

    One is a draw of the posterior, the mean of several the better estimate. Samplers that condition
    by themselves take None for an h-transform. `seed` is the sampler's, so that the same
    measurement gives the same result. What the prior means by [0, 1] is its value_range; a prior
    without one speaks the physics' units. Raises `InvalidInput` for a physics that cannot be
    adapted (`observation_from_deepinv`).
    """

    def __init__(
        self,
        prior: Prior,
        h_transform: HTransform | None,
        sampler: Sampling,
        num_samples: int = 1,
        seed: Seed = 0,
        adjoint: str = "own",
    ) -> None:
        super().__init__()
        self.prior, self.h_transform, self.sampler = prior, h_transform, sampler
        self.num_samples, self.seed, self.adjoint = sample_count(num_samples), seed, adjoint

    def samples(self, y: Measurement, physics: Any) -> Tensor:
        """(measurements, samples, *event), in the physics' units."""
        observation = observation_from_deepinv(
            y.to(self.prior.device, self.prior.dtype),
            physics,
            self.prior.event_shape,
            self.prior.value_range,
            adjoint=self.adjoint,
        )
        x_0 = self.sampler.draw(
            self.prior,
            self.num_samples,
            observation=observation,
            h_transform=self.h_transform,
            seed=self.seed,
        ).x_0
        if self.prior.value_range is None:
            return x_0
        low, high = self.prior.value_range
        return (x_0 - low) / (high - low)

    def forward(self, y: Measurement, physics: Any) -> Signal:
        return self.samples(y, physics).mean(1)
