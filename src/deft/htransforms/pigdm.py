"""Pseudoinverse guidance: what is not known of x_0 is taken as white noise of a known size.

p(x_0 | x_t) ~ N(x_0_hat, r_t^2 I),    so that
        h(x_t) ~ N(y; A x_0_hat, r_t^2 A A^T + sigma_y^2 I)
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from deft import checks
from deft.htransforms.applies import linear_gaussian, linear_operator
from deft.htransforms.base import HTransform
from deft.htransforms.weights import ByStep, Weight, checked_weight, weight_at
from deft.likelihoods import Observation
from deft.priors.base import Prior
from deft.priors.denoised import Denoised
from deft.transitions import Steps
from deft.types import Signal


@final
class PublishedStep(ByStep):
    """x_s and alpha_t g: (alpha_t r_t / sigma_t)^2 / a."""

    def __init__(self, scale: float) -> None:
        self.scale = checks.positive("scale", scale, "the standard deviation of x_0")

    def weights(self, steps: Steps) -> Tensor:
        t = steps.times.double()
        alpha, sigma = steps.schedule.alpha(t), steps.schedule.sigma(t)
        r_2 = self.scale**2 * sigma**2 / (alpha**2 * self.scale**2 + sigma**2)
        return alpha**2 * r_2 / (steps.moved_by() * sigma**2)


@final
class PiGDM(HTransform):
    """Pseudoinverse-guided diffusion models.

        grad log h(x_t) = weight(t) J^T A^T (r_t^2 A A^T + sigma_y^2 I)^{-1} (y - A x_0_hat),
        J = d x_0_hat / d x_t
        r_t^2           = s^2 sigma_t^2 / (alpha_t^2 s^2 + sigma_t^2)

    Song, Vahdat, Mardani and Kautz 2023 (ICLR, openreview 9_gsMA8MRKQ); at sigma_y = 0 the inverse
    is the pseudo-inverse. `scale` is s, the standard deviation of x_0 that r_t supposes: 1 in the
    paper; with prior.scale (and weight 1) it is exact for a white Gaussian prior. `weight` is a
    number or a function of t; `PiGDM.published` gives that of the paper's sampler. Non-linear
    operators with a pseudo-inverse (JPEG), which the paper allows at sigma_y = 0, and noise that is
    not Gaussian are refused: `InvalidInput`.
    """

    needs_prior_gradient = True

    def __init__(self, scale: float = 1.0, weight: Weight = 1.0) -> None:
        super().__init__()
        self.scale = checks.positive(
            "scale",
            scale,
            "the standard deviation of x_0 that r_t supposes",
            "prior.scale, or 1 as in the paper",
        )
        self.weight = checked_weight("the weight of PiGDM", weight)

    @classmethod
    def published(cls, scale: float = 1.0) -> PiGDM:
        """The h-transform with which DDIM takes the published step; it is bound to the steps when
        sampling starts.

            x_s = a x_0_hat + b x_t + c z + alpha_t g,
            g = J^T A^T (A A^T + (sigma_y / r_t)^2 I)^{-1} (y - A x_0_hat)

        Algorithm 1 of the paper, which gives the guidance the weight r_t^2 and adds it to x_s. A
        DDIM step moves by a * shift, so that weight = (alpha_t r_t / sigma_t)^2 / a; a = 1 in the
        last step.
        """
        return cls(scale, PublishedStep(scale))

    def shift(self, denoised: Denoised, observation: Observation) -> Signal:
        operator = linear_operator(observation, self)
        alpha_t, sigma_t = denoised.alpha_t.flatten(), denoised.sigma_t.flatten()
        r_2 = self.scale**2 * sigma_t**2 / (alpha_t**2 * self.scale**2 + sigma_t**2)
        with torch.no_grad():
            residual = observation.residual(denoised.x_0_hat)
            pull = operator.pull(
                denoised.x_0_hat, residual, r_2, observation.sigma_y.to(residual) ** 2
            )
        grad_log_h = weight_at(self.weight, denoised) * denoised.vjp(pull)
        return denoised.sigma_t**2 / denoised.alpha_t * grad_log_h

    def check(self, prior: Prior, observation: Observation) -> None:
        linear_gaussian(observation, self, prior)
