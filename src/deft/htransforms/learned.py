"""DEFT: the h-transform, learned.

    shift = r_t ( NN1(x_t, x_0_hat, r_t g, lift(y), coverage, log-SNR_t, log(sigma_y + 1e-3)) + NN2(log-SNR_t, sigma_y) r_t g )

    g     = A^T (r_t^2 A A^T + sigma_y^2 I)^{-1} (y - A x_0_hat),    r_t^2 = s^2 sigma_t^2 / (alpha_t^2 s^2 + sigma_t^2)

Denker et al. 2024, arXiv:2406.01781, eq. 12, with the raw likelihood gradient replaced by r_t g, which is of order one at every noise level, and
the output in units of r_t, the uncertainty of x_0 given x_t under a white Gaussian prior of standard deviation s. For that prior the shift is
exactly r_t^2 g, that is NN1 = 0 and NN2 = 1, where an untrained h-transform starts. The prior is never differentiated.

In terms of the paper's noise prediction, sigma_t grad log h = (alpha_t / sigma_t) shift: at low noise r_t = sigma_t / alpha_t and the unit is that of eps; at
high noise it is that of x_0, so that the network need not produce numbers of the size alpha_t / sigma_t.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.htransforms.base import HTransform
from deft.likelihoods import Observation
from deft.networks import MLP, UNet
from deft.priors.base import Denoised, Prior
from deft.types import Signal, expand


@final
class LearnedHTransform(HTransform):
    """A small network that reads what the prior and the measurement say.

    `scale` is the prior's; `channels`, `blocks`, `patch` and `attention` shape the U-Net (deft.networks.unet).
    """

    scale: Tensor

    def __init__(
        self,
        event_shape: Sequence[int],
        scale: float,
        *,
        channels: Sequence[int] = (32, 64, 64),
        blocks: int = 1,
        patch: int = 2,
        attention: Sequence[bool] = (False, False, False),
    ) -> None:
        super().__init__()
        if len(event_shape) not in (2, 3):
            raise InvalidInput(
                f"LearnedHTransform takes signals of shape (channels, length) or (channels, height, width); got {tuple(event_shape)}."
            )
        self.event_shape = tuple(event_shape)
        self.config = {
            "event_shape": list(event_shape),
            "channels": list(channels),
            "blocks": blocks,
            "patch": patch,
            "attention": list(attention),
        }
        self.register_buffer("scale", torch.tensor(float(scale)))
        c = event_shape[0]
        self.nn1 = UNet(
            4 * c + 1,
            c,
            numbers=2,
            channels=channels,
            blocks=blocks,
            patch=patch,
            attention=attention,
            axes=len(event_shape) - 1,
        )
        self.nn2 = MLP(2, 1, width=32, bias=1.0)

    @classmethod
    def for_prior(cls, prior: Prior, *, fraction: float = 0.05, blocks: int = 1, patch: int | None = None) -> LearnedHTransform:
        """An h-transform with about `fraction` of the prior's parameters, for the prior's signals.

        The network enters at 16 to 32 places per axis and halves them down to 8 or so, where it attends to all places at once; width is what a larger
        fraction buys.
        """
        if not 0 < fraction <= 1:
            raise InvalidInput(f"fraction is the h-transform's share of the prior's parameters, in (0, 1]; got {fraction}.")
        patch = patch or default_patch(prior.event_shape)
        levels = max(1, min(4, 1 + round(math.log2(max(prior.event_shape[1:]) / patch / 8))))

        def build(width: int) -> LearnedHTransform:
            channels = [2 * round(width * (1 + 0.6 * level) / 2) for level in range(levels)]
            attention = [level == levels - 1 for level in range(levels)]
            return cls(prior.event_shape, prior.scale, channels=channels, blocks=blocks, patch=patch, attention=attention)

        def size(width: int) -> int:
            with torch.device("meta"):
                return build(width).num_parameters

        goal = fraction * prior.num_parameters
        width = 4
        while abs(size(width + 2) - goal) < abs(size(width) - goal):
            width += 2
        return build(width)

    @property
    def num_parameters(self) -> int:
        """How many parameters are learned."""
        return sum(p.numel() for p in self.parameters())

    def spread(self, denoised: Denoised) -> Tensor:
        """r_t, one per signal or one for all."""
        alpha_t, sigma_t = denoised.alpha_t.flatten(), denoised.sigma_t.flatten()
        return self.scale * sigma_t / (alpha_t**2 * self.scale**2 + sigma_t**2).sqrt()

    def inputs(self, denoised: Denoised, observation: Observation) -> dict[str, Signal]:
        """What NN1 reads, by name; each of order one."""
        x_t, x_0_hat = denoised.x_t, denoised.x_0_hat
        spread_x_t = (denoised.alpha_t**2 * self.scale**2 + denoised.sigma_t**2).sqrt()
        lifted = observation.operator.lift(observation.y)
        return {
            "x_t": x_t / spread_x_t,
            "x_0_hat": x_0_hat / self.scale,
            "guidance": observation.likelihood.guidance(x_0_hat, self.spread(denoised), observation.y),
            "lift": lifted / self.scale,
            "coverage": observation.operator.coverage(x_t),
        }

    def shift(self, denoised: Denoised, observation: Observation) -> Signal:
        with torch.autocast(denoised.x_t.device.type, enabled=False):  # half precision is for networks, not for operators
            inputs = self.inputs(denoised, observation)
        batch = len(denoised.x_t)
        numbers = torch.stack([denoised.log_snr.expand(batch), 2 * (observation.sigma_y + 1e-3).log().expand(batch)], dim=1)
        correction = self.nn1(torch.cat([value.expand(batch, *value.shape[1:]) for value in inputs.values()], dim=1), numbers)
        weight = self.nn2(numbers)[:, 0]
        return expand(self.spread(denoised), correction) * (correction + expand(weight, correction) * inputs["guidance"])


def default_patch(event_shape: Sequence[int]) -> int:
    """2, 4 or 8, growing with the width: the network works on about 16 to 32 places per axis up to 256."""
    return 2 ** min(max(round(math.log2(max(event_shape[1:]) / 20)), 1), 3)
