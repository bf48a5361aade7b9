"""The measurement of a latent: A(D(z)), for an operator A of what a codec decodes.

    linear A and D = W z + b:    linear part A W, adjoint W^T A^T, lift E(A.lift(y))
    otherwise:                   g by one vector-Jacobian product of D, none of the prior;
                                 lift E(A.lift(y))

A latent prior is no special case: behind this every method that takes such an operator takes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor
from torch.nn import functional as F

from deft.codec import Codec, LinearCodec
from deft.errors import InvalidInput
from deft.operators.around import Around
from deft.operators.base import ForwardOperator, LinearOperator, within_reach
from deft.operators.checked import Shape
from deft.operators.whitening import Whitening
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
    """A(D(z)), where A or D is not linear.

    `guided` costs one D(z) and one product with the transpose of its derivative, of
    `codec.at_once` signals at a time.
    """

    def __init__(self, operator: ForwardOperator, codec: Codec) -> None:
        super().__init__()
        self.operator, self.codec = operator, codec
        self.any_precision = operator.any_precision

    def surrogate(self, x_0: Signal) -> Measurement:
        return self.operator.surrogate(self.codec.decode(x_0))

    def whitened(self, whitening: Whitening) -> ForwardOperator:
        """W A behind the codec, so that what A itself makes of a residual stays."""
        return Composed(self.operator.whitened(whitening), self.codec)

    def pull(self, x_0: Signal, residual: Measurement, r2: Times, s2: Times) -> Signal:
        """J_D^T times the pull of the operator at D(z), where it has one of its own: f.

        D(z) is known to within r times the size of J_D along f, |J_D^T f| / |f|. The direction of
        f is taken where that is `codec.gain`, its length where it is what it is found to be.
        """
        return self._in_parts(Composed._pull, x_0, residual, r2, s2)

    def guided(self, x_0: Signal, y: Measurement, r2: Times, s2: Times) -> Signal:
        return self._in_parts(Composed._guided, x_0, y, r2, s2)

    def _pull(self, x_0: Signal, residual: Measurement, r2: Times, s2: Times) -> Signal:
        if self._has_no_pull:
            return super().pull(x_0, residual, r2, s2)
        x, transposed = self._decoded(x_0)
        return self._through(
            x_0, transposed, lambda r2: self.operator.pull(x, residual, r2, s2), r2
        )

    def _guided(self, x_0: Signal, y: Measurement, r2: Times, s2: Times) -> Signal:
        if self._has_no_pull:
            return super().guided(x_0, y, r2, s2)
        x, transposed = self._decoded(x_0)
        residual = self.operator.residual(x, y).to(x_0.dtype)
        return self._through(
            x_0, transposed, lambda r2: self.operator.pull(x, residual, r2, s2), r2
        )

    def weighted_pull(
        self, x_0: Signal, residual: Measurement, weight: Measurement, r2: Times
    ) -> Signal:
        """J_D^T times the weighted pull of the operator at D(z), in the same way."""
        return self._in_parts(Composed._weighted, x_0, residual, weight, r2)

    def _weighted(
        self, x_0: Signal, residual: Measurement, weight: Measurement, r2: Times
    ) -> Signal:
        if type(self.operator).weighted_pull is ForwardOperator.weighted_pull:
            return super().weighted_pull(x_0, residual, weight, r2)
        x, transposed = self._decoded(x_0)
        return self._through(
            x_0, transposed, lambda r2: self.operator.weighted_pull(x, residual, weight, r2), r2
        )

    @property
    def _has_no_pull(self) -> bool:
        return type(self.operator).pull is ForwardOperator.pull

    def _through(
        self,
        z: Signal,
        transposed: Callable[[Tensor], Tensor],
        pull: Callable[[Tensor], Tensor],
        r2: Times,
    ) -> Signal:
        """J_D^T f, where f is what `pull` makes of a variance of D(z)."""
        r2 = torch.as_tensor(r2).to(z)
        first = pull(r2 * self.codec.gain)
        back, size = transposed(first), norm(first).clamp(min=torch.finfo(z.dtype).tiny)
        length = norm(pull(r2 * (norm(back) / size) ** 2)) / size
        return within_reach(expand(length, back) * back, expand(r2, z))

    def _decoded(self, z: Signal) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """D(z), and J_D^T, once."""
        with torch.inference_mode(False), torch.enable_grad():
            own = z.detach().clone().requires_grad_()
            x = self.codec.decode(own)

        def transposed(v: Tensor) -> Tensor:
            return torch.autograd.grad(x, own, v.detach().clone())[0]

        return x.detach(), transposed

    def _in_parts(
        self,
        what: Callable[..., Signal],
        z: Signal,
        *values: Tensor,
    ) -> Signal:
        """`what` of a few signals at a time, so that few are on the graph of D at once."""
        most = self.codec.at_once or len(z)
        if len(z) <= most or (torch.is_grad_enabled() and z.requires_grad):
            return what(self, z, *values)
        found = []
        for start in range(0, len(z), most):
            part = torch.arange(start, min(start + most, len(z)))
            each = (
                value if value.ndim == 0 or len(value) == 1 else value[part.to(value.device)]
                for value in map(torch.as_tensor, values)
            )
            found.append(what(self.take(part), z[part.to(z.device)], *each))
        return torch.cat(found)


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
