"""The measurement of a latent: A(D(z)), for an operator A of what a codec decodes.

    linear A and D = W z + b:    linear part A W, adjoint W^T A^T, lift E(A.lift(y))
    otherwise:                   g by one vector-Jacobian product of D, lift E(A.lift(y))

A latent prior is no special case: behind this every method that takes such an operator takes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch.nn import functional as F

from deft.codec import Codec, LinearCodec
from deft.errors import InvalidInput
from deft.operators.around import Around
from deft.operators.base import ForwardOperator, LinearOperator, within_reach
from deft.operators.checked import Shape
from deft.operators.solvers import conjugate_gradients
from deft.types import Mask, Measurement, Signal, Times, expand, norm


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
        self.any_precision = operator.any_precision

    def surrogate(self, x_0: Signal) -> Measurement:
        return self.operator.surrogate(self.codec.decode(x_0))

    def pull(self, x_0: Signal, residual: Measurement, r2: Times, s2: Times) -> Signal:
        """J_D^T times the pull of the operator at D(z), where it has one of its own.

        D(z) is known to within r times the size of J_D along that pull.
        """
        if type(self.operator).pull is ForwardOperator.pull:
            return super().pull(x_0, residual, r2, s2)
        r2, s2 = torch.as_tensor(r2), torch.as_tensor(s2)
        x, transposed = self._decoded(x_0)
        first = self.operator.pull(x, residual, r2, s2)
        size = norm(first).clamp(min=torch.finfo(x_0.dtype).tiny)
        gain = (norm(transposed(first)) / size) ** 2
        pulled = transposed(self.operator.pull(x, residual, r2.to(gain) * gain, s2))
        return within_reach(pulled, expand(r2, x_0).to(x_0))

    def _decoded(self, z: Signal) -> tuple[Signal, Callable[[Signal], Signal]]:
        """D(z), and J_D^T."""
        with torch.inference_mode(False), torch.enable_grad():
            own = z.detach().clone().requires_grad_()
            x = self.codec.decode(own)

        def transposed(v: Signal) -> Signal:
            return torch.autograd.grad(x, own, v.detach().clone(), retain_graph=True)[0]

        return x.detach(), transposed


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
