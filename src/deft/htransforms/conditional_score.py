"""Amortised conditional training: a whole network that knows y, trained from scratch and read as an
h-transform.

    grad log h = s(x_t, y, t) - grad log p_t(x_t),    shift = E[x_0 | x_t, y] - x_0_hat

    E[x_0 | x_t, y] = c_t x_t + r_t NN(x_t, lift(y), coverage, log-SNR_t, log(sigma_y + 1e-3))
    c_t = alpha_t s^2 / (alpha_t^2 s^2 + sigma_t^2),
    r_t^2 = s^2 sigma_t^2 / (alpha_t^2 s^2 + sigma_t^2)

Denker et al. 2024, arXiv:2406.01781, Appendix H.1 (the paper's amortised baseline); Batzolis et al.
2021, arXiv:2111.13606. c_t x_t is the denoiser of a white Gaussian of standard deviation s, so that
the network learns a target of unit variance at every noise level: the preconditioning of Karras et
al. 2022, arXiv:2206.00364, eq. 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack, final

import torch
from torch import Tensor

from deft import checks
from deft.htransforms.applies import made_for
from deft.htransforms.base import HTransform
from deft.htransforms.body import Shape, lifts_to, plain, sized, unet
from deft.likelihoods import Observation
from deft.priors.base import Prior
from deft.priors.denoised import Denoised
from deft.types import Signal, axes_of

LARGE = Shape(channels=(64, 128, 128), blocks=2, patch=2, attention=(False, False, True), fine=0)


@final
class ConditionalScore(HTransform):
    """A conditional network as large as a prior: what learning the h-transform alone is compared
    with.

    It is trained by the same objective, loop and pairs as `LearnedHTransform`, and reads nothing of
    the prior, whose estimate cancels in x_0_hat + shift: its samples do not depend on the prior,
    which a `Posterior` evaluates nevertheless. `scale` is the prior's; the rest shapes the U-Net
    (deft.networks.unet), one of a prior's size by default.
    """

    scale: Tensor

    def __init__(self, event_shape: Sequence[int], scale: float, **shape: Unpack[Shape]) -> None:
        super().__init__()
        self.event_shape, self.event_axes = tuple(event_shape), axes_of(event_shape)
        shape = {**LARGE, **shape}
        self.config = {"event_shape": list(event_shape), **plain(shape)}
        self.register_buffer(
            "scale", torch.tensor(checks.positive("scale", scale, "the standard deviation of x_0"))
        )
        c = event_shape[0]
        self.network = unet(event_shape, 2 * c + 1, numbers=2, shape=shape)

    @classmethod
    def for_prior(
        cls,
        prior: Prior,
        *,
        fraction: float = 1.0,
        blocks: int = 2,
        patch: int | None = None,
        fine: int = 0,
    ) -> ConditionalScore:
        """A network with about `fraction` of the prior's parameters, for the prior's signals
        (deft.htransforms.body).
        """
        return sized(cls, prior, fraction, blocks, patch, fine)

    def check(self, prior: Prior, observation: Observation) -> None:
        """Lifts y, once for all steps. Raises `InvalidInput` where prior or operator have signals
        of another shape.
        """
        made_for(self, self.event_shape, prior)
        lifts_to(self, self.event_shape, observation)

    def inputs(self, denoised: Denoised, observation: Observation) -> dict[str, Signal]:
        """What the network reads, by name; each of order one (the lift where the noise in it does
        not exceed the signal).
        """
        x_t = denoised.x_t
        return {
            "x_t": x_t / denoised.marginal_spread(self.scale),
            "lift": observation.lifted / self.scale,
            "coverage": observation.operator.coverage(x_t),
        }

    def estimate(self, denoised: Denoised, observation: Observation) -> Signal:
        """E[x_0 | x_t, y]; `denoised` is read for x_t and its level alone."""
        with torch.autocast(
            denoised.x_t.device.type, enabled=False
        ):  # half precision is for networks, not for operators
            inputs = self.inputs(denoised, observation)
        batch = len(denoised.x_t)
        numbers = torch.stack(
            [denoised.log_snr.expand(batch), 2 * (observation.sigma_y + 1e-3).log().expand(batch)],
            dim=1,
        )
        out = self.network(
            torch.cat([value.expand(batch, *value.shape[1:]) for value in inputs.values()], dim=1),
            numbers,
        )
        alpha_t, sigma_t = denoised.alpha_t, denoised.sigma_t
        total = alpha_t**2 * self.scale**2 + sigma_t**2
        return (
            alpha_t * self.scale**2 / total * denoised.x_t
            + self.scale * sigma_t / total.sqrt() * out
        )

    def shift(self, denoised: Denoised, observation: Observation) -> Signal:
        return self.estimate(denoised, observation) - denoised.x_0_hat
