"""The measurement of a latent: A(D(z)), for an operator A of what a codec decodes.

    linear A and D = W z + b:    linear part A W, adjoint W^T A^T, lift E(A.lift(y))
    otherwise:                   g by one vector-Jacobian product of D, lift E(A.lift(y))

A latent prior is no special case: behind this every method that takes such an operator takes it.
"""

from __future__ import annotations

from typing import final

import torch
from torch.nn import functional as F

from deft.codec import Codec, LinearCodec
from deft.errors import InvalidInput
from deft.operators.around import Around
from deft.operators.base import ForwardOperator, LinearOperator
from deft.operators.checked import Shape
from deft.operators.solvers import conjugate_gradients
from deft.types import Mask, Measurement, Signal


def composed(operator: ForwardOperator, codec: Codec) -> ForwardOperator:
    """`operator` behind `codec`: a linear operator where both are linear, another one elsewhere.
    Raises `InvalidInput` where their shapes do not fit.
    """
    if getattr(operator, "codec", None) is codec:
        return operator
    theirs = operator.signal_shape()
    if theirs is not None and (
        len(theirs) != len(codec.signal_shape)
        or any(n not in (None, m) for n, m in zip(theirs, codec.signal_shape))
    ):
        raise InvalidInput(
            "codec",
            given=f"{type(codec).__name__}, which decodes to {codec.signal_shape}",
            expected=f"signals of {type(operator).__name__}, {theirs}",
        )
    return operator.behind(codec)


class _Behind(Around):
    """What both kinds share."""

    codec: Codec

    def signal_shape(self) -> Shape | None:
        return self.codec.event_shape

    @property
    def lift_is(self) -> str:
        return f"{self.operator.lift_is}, encoded"

    def forward(self, x_0: Signal) -> Measurement:
        return self.operator(self.codec.decode(x_0))

    def lift(self, y: Measurement) -> Signal:
        return self.codec.encode(self.operator.lift(y))

    def coverage(self, like: Signal) -> Mask:
        """The share of each place of z that is observed, where z and x are both images; ones
        elsewhere.
        """
        seen = self.operator.coverage(
            torch.zeros((1, *self.codec.signal_shape))
            .to(like)
            .expand(len(like), *self.codec.signal_shape)
        )
        if like.ndim == 4 and seen.ndim == 4:
            return F.adaptive_avg_pool2d(seen, (like.shape[-2], like.shape[-1]))
        return torch.ones_like(like[:, :1])


@final
class Composed(_Behind):
    """A(D(z)), where A or D is not linear."""

    def __init__(self, operator: ForwardOperator, codec: Codec) -> None:
        super().__init__()
        self.operator, self.codec = operator, codec


@final
class ComposedLinear(_Behind, LinearOperator):
    """A(W z + b), both linear: the constant A(b) enters the residual, and nothing else."""

    operator: LinearOperator
    codec: LinearCodec

    def __init__(self, operator: LinearOperator, codec: LinearCodec) -> None:
        super().__init__()
        self.operator, self.codec = operator, codec

    def linear(self, x_0: Signal) -> Measurement:
        return self.operator.linear(self.codec.linear(x_0))

    def adjoint(self, y: Measurement) -> Signal:
        return self.codec.adjoint(self.operator.adjoint(y))

    def pseudo_inverse(self, y: Measurement) -> Signal:
        """A^+ y, by conjugate gradients on the normal equations, which are consistent whatever y
        is.
        """
        return conjugate_gradients(lambda z: self.adjoint(self.linear(z)), self.adjoint(y))
