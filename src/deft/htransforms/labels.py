"""Labels as observations: y is a class, a prompt's embedding, a property; how it comes about is
known to an h-transform alone.

h(x_t, t) = p(y | x_t)    from a classifier, or from a network that reads y
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn, Self, final

import torch
from torch import Tensor

from deft.codec import Codec
from deft.errors import InvalidInput
from deft.likelihoods import Likelihood, Observation
from deft.noise import Noise
from deft.operators.base import ForwardOperator
from deft.types import LogProb, Measurement, Signal, Times


def labelled(labels: Tensor) -> Observation:
    """The observation of one label per signal: (batch,) or (batch, *label), whole numbers become
    floating point.
    """
    y = labels if labels.is_floating_point() else labels.to(torch.get_default_dtype())
    return Observation(y, Labels().to(y.device))


@final
class Labels(Likelihood):
    """p(y | x_0) without a formula: methods that read an operator or a noise level are refused,
    `Classifier` and `ClassifierFree` are not.
    """

    measures = False

    def __init__(self) -> None:
        super().__init__()
        self.operator = Unmeasured()
        self.register_buffer("sigma_y", torch.zeros(1))

    def log_prob(self, x_0: Signal, y: Measurement) -> LogProb:
        raise _refusal("log p(y | x_0)")

    def sample(self, x_0: Signal, noise: Noise) -> Measurement:
        raise _refusal("a draw of y")

    def guidance(self, x_0_hat: Signal, r_t: Times, y: Measurement) -> Signal:
        raise _refusal("the guidance of a measurement")

    def residual(self, x_0: Signal, y: Measurement) -> Measurement:
        raise _refusal("the residual y - A(x_0)")

    def take(self, index: Sequence[int] | Tensor) -> Self:
        return self

    def behind(self, codec: Codec) -> Self:
        return self


@final
class Unmeasured(ForwardOperator):
    """No operator: what stands in its place for a label."""

    def forward(self, x_0: Signal) -> NoReturn:
        raise _refusal("A(x_0)")

    def lift(self, y: Measurement) -> NoReturn:
        raise _refusal("y as a signal")


def _refusal(what: str) -> InvalidInput:
    return InvalidInput(
        f"a label has no forward operator, and {what} was asked for; use Classifier or "
        "ClassifierFree, which read y alone."
    )
