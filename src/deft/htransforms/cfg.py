"""Classifier-free guidance: a second network that was trained with y.

h(x_t, t)^weight,    grad log h = grad log p_t(x_t | y) - grad log p_t(x_t)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch

from deft import checks
from deft.errors import InvalidInput
from deft.htransforms.base import HTransform
from deft.likelihoods import Observation
from deft.priors import predictions
from deft.priors.denoised import Denoised
from deft.priors.predictions import Prediction
from deft.types import Signal, Times

Conditional = Callable[[Signal, Times, Observation], Signal]


@final
class ClassifierFree(HTransform):
    """Classifier-free guidance.

        shift = weight (E[x_0 | x_t, y] - x_0_hat)

    Ho and Salimans 2022, arXiv:2207.12598, eq. 6, whose w is weight - 1: 0, or weight 1, is the
    conditional network itself; more sharpens, and is the score of no noised distribution.
    `conditional(x_t, t, observation)` is E[x_0 | x_t, y], with t one time per signal, or what
    `prediction` says (deft.priors.predictions). Where both are one network, the prior is the one
    with the empty label. A module is registered: it moves and is saved with the h-transform.
    """

    def __init__(
        self, conditional: Conditional, weight: float = 1.0, prediction: str | Prediction = "x_0"
    ) -> None:
        super().__init__()
        self.conditional, self.weight = (
            conditional,
            checks.finite("weight", weight, "guidance", "use 1 for the conditional network itself"),
        )
        self.prediction = predictions.prediction(prediction)

    @classmethod
    def from_eps(cls, eps: Conditional, weight: float = 1.0) -> ClassifierFree:
        """From a network that predicts the noise: eps(x_t, t, observation)."""
        return cls(eps, weight, "epsilon")

    @property
    def network_evaluations_per_step(self) -> int:
        return 1

    def shift(self, denoised: Denoised, observation: Observation) -> Signal:
        x_t = denoised.x_t
        given = self.prediction.given(x_t, denoised.alpha_t, denoised.sigma_t)
        out = self.conditional(given, denoised.t.expand(len(x_t)), observation)
        if not isinstance(out, torch.Tensor) or out.shape != x_t.shape:
            raise InvalidInput(
                f"the network of ClassifierFree must return the shape of x_t, {tuple(x_t.shape)}; "
                f"it returned {_shape(out)}."
            )
        if torch.is_grad_enabled() and denoised.x_0_hat.requires_grad and not out.requires_grad:
            raise InvalidInput(
                "a gradient through ClassifierFree is needed, and its network does not let one "
                "pass; use it outside of another Posterior."
            )
        x_0_hat = self.prediction.x_0_hat(out, x_t, denoised.alpha_t, denoised.sigma_t)
        return self.weight * (x_0_hat - denoised.x_0_hat)


def _shape(out: object) -> object:
    return tuple(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
