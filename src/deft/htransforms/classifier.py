"""Classifier guidance: h given outright, by a model of y that knows noisy signals.

h(x_t, t) = p(y | x_t, t)^weight
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.htransforms.base import HTransform
from deft.htransforms.weights import ByStep, Weight, checked_weight, weight_at
from deft.likelihoods import Observation
from deft.priors.denoised import Denoised
from deft.transitions import Steps
from deft.types import LogProb, Signal, Times

LogProbability = Callable[[Signal, Times, Observation], LogProb]


@final
class AncestralStep(ByStep):
    """x_s and scale c^2 times a gradient: scale c^2 alpha_t / (a sigma_t^2)."""

    def __init__(self, scale: float) -> None:
        self.scale = checks.non_negative("scale", scale, "the gradient scale")

    def weights(self, steps: Steps) -> Tensor:
        t = steps.times.double()
        return (
            self.scale
            * steps.fresh() ** 2
            * steps.schedule.alpha(t)
            / (steps.moved_by() * steps.schedule.sigma(t) ** 2)
        )


@final
class Classifier(HTransform):
    """Classifier guidance.

        grad log h(x_t) = weight(t) grad_{x_t} log p(y | x_t, t)

    Dhariwal and Nichol 2021, arXiv:2105.05233, Algorithm 2, whose gradient scale s is `weight`, in
    units of the score; `Classifier.published` converts that of Algorithm 1. `log_prob(x_t, t,
    observation)` is one number per signal, written in torch, with t one time per signal; with a
    model that fits p(y | x_t, t) and weight 1 it is exact. It alone is differentiated, never the
    prior. A module is registered: it moves and is saved with the h-transform.
    """

    def __init__(self, log_prob: LogProbability, weight: Weight = 1.0) -> None:
        super().__init__()
        self.log_prob, self.weight = log_prob, checked_weight("the weight of Classifier", weight)

    @classmethod
    def published(cls, log_prob: LogProbability, scale: float) -> Classifier:
        """The h-transform with which DDIM(eta=1) takes the published ancestral step; it is bound to
        the steps when sampling starts.

            x_s = a x_0_hat + b x_t + scale c^2 grad_{x_t} log p(y | x_t, t) + c z

        Algorithm 1 of the paper, with the variance c^2 of the sampler. A DDIM step moves by a *
        shift, so that weight = scale c^2 alpha_t / (a sigma_t^2), 0 in the last step, which draws
        no noise.
        """
        return cls(log_prob, AncestralStep(scale))

    @property
    def differentiable(self) -> bool:
        """Its gradient is taken apart from the prior's graph."""
        return False

    @property
    def network_evaluations_per_step(self) -> int:
        return 1

    def shift(self, denoised: Denoised, observation: Observation) -> Signal:
        batch = len(denoised.x_t)
        with torch.inference_mode(False), torch.enable_grad():
            x_t = denoised.x_t.detach().clone().requires_grad_()
            value = self.log_prob(x_t, denoised.t.expand(batch), observation)
            if not isinstance(value, Tensor) or value.shape != (batch,) or not value.requires_grad:
                flat = isinstance(value, Tensor) and not value.requires_grad
                shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise InvalidInput(
                    "the model of Classifier must return one log-probability per signal, "
                    f"({batch},), computed from x_t in torch; "
                    f"it returned {shape}{', which does not depend on x_t' if flat else ''}."
                )
            gradient = torch.autograd.grad(value.sum(), x_t)[0]
        return denoised.sigma_t**2 / denoised.alpha_t * weight_at(self.weight, denoised) * gradient
