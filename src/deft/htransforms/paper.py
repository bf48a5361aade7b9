"""DEFT's h-transform as the paper writes it, for comparison with `LearnedHTransform`.

    sigma_t grad log h = NN1(x_t, x_0_hat, g, log-SNR_t) + NN2(log-SNR_t) g,
    g = grad_{x_0_hat} log p(y | x_0_hat) = A^T (y - A x_0_hat) / sigma_y^2

Denker et al. 2024, arXiv:2406.01781, eq. 12, in the units of eps of eq. 10, where eps_hat - sigma_t
grad log h is the noise prediction given y; the Jacobian of the prior is dropped. Nothing is
rescaled: g varies by orders of magnitude with sigma_y and t. At sigma_y = 0, where it is infinite,
it is taken with sigma_y = 1, as in the authors' experiments without noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Unpack, final

import torch

from deft import checks
from deft.htransforms.applies import made_for
from deft.htransforms.base import HTransform
from deft.htransforms.body import SMALL, Shape, plain, sized, unet
from deft.htransforms.derivative import need_derivative
from deft.likelihoods import Observation
from deft.networks import MLP
from deft.priors.base import Prior
from deft.priors.denoised import Asked, Denoised
from deft.types import Signal, axes_of, expand


@final
class PaperHTransform(HTransform):
    """The learned h-transform in the form of the paper; `LearnedHTransform.paper(prior)` makes one.

    Untrained, NN1 is zero and NN2 the constant `initial_weight`: a pull of initial_weight (sigma_t
    / alpha_t) g on x_0_hat. 0.01 is that of the paper's Appendix E.1 (its section 3.3 says 1). Only
    the last layer of NN2 starts with weights of zero; with all of them at zero, as the appendix
    says, NN2 could learn nothing but a constant. t enters as its log-SNR, and x_t as it is, which
    supposes that the schedule preserves variance. Any operator that torch can differentiate will
    do, linear or not. `scale`, the prior's, is not used: this form has no units.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        scale: float,
        *,
        initial_weight: float = 0.01,
        **shape: Unpack[Shape],
    ) -> None:
        super().__init__()
        initial_weight = checks.finite("initial_weight", initial_weight, "what NN2 starts at")
        checks.positive("scale", scale, "the standard deviation of x_0")
        self.event_shape, self.event_axes = tuple(event_shape), axes_of(event_shape)
        shape = {**SMALL, **shape}
        self.config = {
            "event_shape": list(event_shape),
            **plain(shape),
            "initial_weight": initial_weight,
        }
        c = event_shape[0]
        self.nn1 = unet(event_shape, 3 * c, numbers=1, shape=shape)
        self.nn2 = MLP(1, 1, width=32, bias=initial_weight)

    @classmethod
    def for_prior(
        cls,
        prior: Prior,
        *,
        fraction: float = 0.05,
        blocks: int = 1,
        patch: int | None = None,
        fine: int = 0,
        initial_weight: float = 0.01,
    ) -> PaperHTransform:
        """An h-transform with about `fraction` of the prior's parameters, for the prior's signals
        (deft.htransforms.body).
        """
        return sized(
            partial(cls, initial_weight=initial_weight), prior, fraction, blocks, patch, fine
        )

    @property
    def differentiable(self) -> bool:
        """g is a constant to whom differentiates the shift."""
        return False

    def check(self, prior: Prior, observation: Observation) -> None:
        made_for(self, self.event_shape, prior)
        need_derivative(prior, observation, "PaperHTransform")

    def silent(self, denoised: Denoised | Asked, observation: Observation, shift: Signal) -> bool:
        return not bool((self.likelihood_gradient(denoised.x_0_hat, observation) != 0).any())

    def likelihood_gradient(self, x_0_hat: Signal, observation: Observation) -> Signal:
        """g: the gradient of log p(y | x_0_hat) with respect to x_0_hat, taken as a constant."""
        sigma_y = torch.where(
            observation.sigma_y > 0, observation.sigma_y, torch.ones_like(observation.sigma_y)
        )
        with torch.inference_mode(False), torch.enable_grad():
            x = x_0_hat.detach().clone().requires_grad_()
            pull = torch.autograd.grad(-0.5 * observation.residual(x).square().sum(), x)[0]
        return pull / expand(sigma_y**2, pull).to(pull)

    def shift(self, denoised: Denoised, observation: Observation) -> Signal:
        x_t, x_0_hat = denoised.x_t, denoised.x_0_hat
        with torch.autocast(
            x_t.device.type, enabled=False
        ):  # half precision is for networks, not for operators
            g = self.likelihood_gradient(x_0_hat, observation)
        log_snr = denoised.log_snr.expand(len(x_t))[:, None]
        weight = expand(self.nn2(log_snr)[:, 0], g)
        return (
            denoised.sigma_t
            / denoised.alpha_t
            * (self.nn1(torch.cat([x_t, x_0_hat, g], dim=1), log_snr) + weight * g)
        )
