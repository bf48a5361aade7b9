"""Any forward operator: its parameters of each signal, its gradient, and what a residual says.

`pull` needs A alone: it differentiates A, and measures how steep A is along the gradient.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from deft.codec import Codec
from deft.errors import DeftError, InvalidInput, says_no_memory
from deft.operators.base.reach import mean_weight, within_reach
from deft.operators.checked import MEASUREMENT, Shape, check, check_entries
from deft.types import Mask, Measurement, Signal, Times, as_index, expand, norm

if TYPE_CHECKING:
    from deft.operators.whitening import Whitening


class ForwardOperator(nn.Module, ABC):
    """A: x_0 -> A(x_0), noiseless.

    `symmetries` says in words which signals A cannot tell apart, where `align` knows them;
    `signal_is` and `measurement_is` what the axes of both are, for errors. An operator for signals
    of one shape keeps it as `event_shape`. `density` says whether a likelihood around A is a
    density of y: not where y is compared after its best motion. `any_precision` says that A takes
    signals of a higher precision than that of its parameters, and computes in it.
    """

    symmetries: str = ""
    density: bool = True
    any_precision: bool = False
    signal_is: str = ""
    measurement_is: str = ""
    _lift_is: str = ""
    event_shape: tuple[int, ...] | None = None
    _known_shapes: tuple[tuple[int, ...], tuple[int, ...]] | None = (
        None  # of the last signal and its measurement
    )

    def __init__(self) -> None:
        super().__init__()
        self._per_signal: tuple[str, ...] = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        check_entries(cls)

    def signal_shape(self) -> Shape | None:
        """The shape of a signal that A can measure, without its batch; None at an axis of any size,
        or for any shape. `event_shape` by default.
        """
        return self.event_shape

    def measurement_shape(self) -> Shape | None:
        """The shape of a measurement, as in `signal_shape`; by default what the last signal was
        measured as, where all signals have one shape.
        """
        return (
            None
            if self._known_shapes is None or self.event_shape is None
            else self._known_shapes[1]
        )

    def check_measurement(self, y: Measurement) -> None:
        """Raises `InvalidInput` unless y is a batch of finite measurements of this operator's, as
        many as it has parameters for.
        """
        check(self, "check_measurement", "y", y, MEASUREMENT, finite=True)
        if self.signals not in (1, len(y)):
            raise InvalidInput(
                f"y of {type(self).__name__}",
                given=f"a batch of {len(y)}",
                expected=f"{self.signals}, as many as it has parameters for",
            )

    def doubts(self, y: Measurement) -> list[str]:
        """What speaks against y being a measurement of this operator's own conventions (shifted,
        flipped), each in one sentence; none by default.
        """
        return []

    def residual(self, x_0: Signal, y: Measurement) -> Measurement:
        """y - A(x_0), zero where nothing is measured (`difference`). Raises `InvalidInput` where
        both are not of one shape, which would broadcast.
        """
        predicted = self(x_0)
        if predicted.shape != y.shape:
            raise InvalidInput(
                f"y of {type(self).__name__}",
                given=f"the shape {tuple(y.shape)}",
                expected=f"{tuple(predicted.shape)}, as A(x_0) is",
            )
        return self.difference(y, predicted)

    def difference(self, y: Measurement, predicted: Measurement) -> Measurement:
        """y - predicted, zero where nothing is measured. An operator whose measurements are known
        up to a symmetry of theirs (a rigid motion) brings y nearest to `predicted` first.
        """
        return self.observed(y - predicted)

    def in_frame(self, y: Measurement, x_0: Signal) -> tuple[ForwardOperator, Tensor]:
        """A and y in the frame of x_0: themselves, unless y is known up to a symmetry (a rigid
        motion), which then is the best one for x_0.
        """
        return self, y

    def per_signal(self, name: str, value: Tensor) -> None:
        """Register a buffer whose first axis runs over the signals of the batch (length 1: shared
        by all).
        """
        self.register_buffer(name, value)
        self._per_signal = (*self._per_signal, name)

    @property
    def signals(self) -> int:
        """How many signals it has parameters for; 1 where all share them."""
        parts = [part for part in self.modules() if isinstance(part, ForwardOperator)]
        return next(
            (
                n
                for part in parts
                for name in part._per_signal
                if (n := len(getattr(part, name))) != 1
            ),
            1,
        )

    def take(self, index: Sequence[int] | Tensor) -> Self:
        """The operator of the signals `index`."""
        return self._indexed(
            lambda value: value if len(value) == 1 else value[as_index(index).to(value.device)]
        )

    def repeat(self, n: int) -> Self:
        """The operator of each signal, `n` times side by side."""
        return self._indexed(
            lambda value: value if len(value) == 1 else value.repeat_interleave(n, dim=0)
        )

    def _indexed(self, pick: Callable[[Tensor], Tensor]) -> Self:
        other = copy.copy(self)
        other._buffers = dict(self._buffers)
        other._modules = {
            name: module._indexed(pick) if isinstance(module, ForwardOperator) else module
            for name, module in self._modules.items()
        }
        for name in self._per_signal:
            other._buffers[name] = pick(getattr(self, name))
        return other

    if TYPE_CHECKING:
        __call__: Callable[..., Tensor]

    @abstractmethod
    def forward(self, x_0: Signal) -> Measurement:
        """A(x_0)."""

    @abstractmethod
    def lift(self, y: Measurement) -> Signal:
        """y as a signal of the prior's own shape (a pseudo-inverse): what a network reads."""

    def lift_of(self, value: float, like: Signal) -> Signal:
        """lift(A(x)) of a signal x that is `value` everywhere: where it was seen, that value."""
        return self.lift(self(torch.full_like(like, value)))

    @property
    def lift_is(self) -> str:
        """What `lift` makes of a measurement, in words for reports."""
        return self._lift_is or "a rough reconstruction"

    def surrogate(self, x_0: Signal) -> Measurement:
        """What `pull` differentiates in place of A; A itself by default. For maps whose derivative
        vanishes where it is needed (saturation).
        """
        return self(x_0)

    def pull(self, x_0: Signal, residual: Measurement, r2: Times, s2: Times) -> Signal:
        """J^T residual / (r2 L^2 + s2), with L the slope of A along it: where the residual y -
        A(x_0) pulls an x_0 that is known to within r.

        It is kept `within_reach`.
        """
        if not len(x_0):
            return torch.zeros_like(x_0)
        r2, s2 = expand(torch.as_tensor(r2), x_0).to(x_0), expand(torch.as_tensor(s2), x_0).to(x_0)
        gradient, value = self._gradient(x_0, residual)
        size = expand(norm(gradient), x_0)
        regular = size > 0
        size = torch.where(regular, size, torch.ones_like(size))
        spread = math.sqrt(x_0[0].numel()) * r2.sqrt()
        with torch.no_grad():
            moved = self.surrogate((x_0 + spread / size * gradient).detach())
            slope = expand(norm(moved - value), x_0) / spread
            least = size / expand(norm(residual), x_0).clamp(
                min=torch.finfo(x_0.dtype).tiny
            )  # no slope is less: |J^T v| <= |J| |v|
        gain = torch.where(regular, torch.maximum(slope, least), torch.ones_like(slope)).detach()
        return within_reach(gradient / (r2 * gain**2 + s2), r2)

    def guided(self, x_0: Signal, y: Measurement, r2: Times, s2: Times) -> Signal:
        """`pull` of what x_0 leaves of y: the residual, in the precision of x_0."""
        return self.pull(x_0, self.residual(x_0, y).to(x_0.dtype), r2, s2)

    def _gradient(self, x_0: Signal, residual: Measurement) -> tuple[Signal, Measurement]:
        """J^T residual, on the graph of x_0 where there is one, and what was differentiated."""
        follow = torch.is_grad_enabled() and x_0.requires_grad
        with torch.inference_mode(False), torch.enable_grad():
            x = x_0 if follow else x_0.detach().clone().requires_grad_()
            value = self.surrogate(x)
            v = residual if follow else residual.detach().clone()
            if not value.requires_grad:
                raise InvalidInput(
                    f"{type(self).__name__} cannot be differentiated, so that a residual does not "
                    "say where to go; give it a `pull` or a "
                    "differentiable `surrogate` of its own."
                )
            return torch.autograd.grad(value, x, v, create_graph=follow)[0], value.detach()

    def behind(self, codec: Codec) -> ForwardOperator:
        """The same measurement, of what a codec decodes."""
        from deft.operators.composed import Composed

        return Composed(self, codec)

    def whitened(self, whitening: Whitening) -> ForwardOperator:
        """The measurement W y, whose noise is white (`deft.operators.whitening`)."""
        from deft.operators.whitened import Whitened

        return Whitened(self, whitening)

    def transposed_derivative(self, x_0: Signal, v: Measurement) -> Signal | None:
        """J^T v, with J = dA / dx_0, by differentiating A; None where that cannot be done."""
        try:
            with torch.inference_mode(False), torch.enable_grad():
                x = x_0.detach().clone().requires_grad_()
                along = (self.observed(self(x)) * v.detach().clone()).sum()
                return torch.autograd.grad(along, x)[0] if along.requires_grad else None
        except (DeftError, RuntimeError) as error:
            if says_no_memory(error):
                raise
            with torch.no_grad():
                self(x_0.detach())  # one that fails without a derivative too says so itself
            return None

    def weighted_pull(
        self, x_0: Signal, residual: Measurement, weight: Measurement, r2: Times
    ) -> Signal:
        """g of a measurement whose entries have the precisions W = `weight`, > 0 where it observes:
        the `pull` of W^(1/2) A, whose noise is white, in units of the mean precision.
        """
        from deft.operators.whitening import EntryWeights

        typical = mean_weight(weight, self.count(weight))
        root = EntryWeights(torch.where(weight > 0, weight / expand(typical, weight), 1.0).sqrt())
        return self.whitened(root).pull(x_0, root(residual), r2, 1 / typical)

    def coverage(self, like: Signal) -> Mask:
        """One channel in [0, 1]: how far each place of `like` is observed (the mask, for
        inpainting); ones by default.
        """
        return torch.ones_like(like[:, :1])

    def align(self, x: Signal, reference: Signal) -> Signal:
        """x under the symmetry of A, if it has one, that brings it nearest to `reference`; x itself
        by default.

        Signals that A cannot tell apart are aligned before they are averaged or compared.
        """
        return x

    def observed(self, y: Measurement) -> Measurement:
        """y with the entries that are no measurements (pixels under a mask) set to zero; y itself
        by default.
        """
        return y

    def measured(self, y: Measurement) -> Measurement:
        """y as it was measured, before its noise was made white (`deft.operators.whitened`)."""
        return y

    def readings(self, y: Measurement) -> dict[str, Measurement]:
        """Other ways in which an array of that shape may be meant, with their names (a sinogram
        turned over); none by default.
        """
        return {}

    def count(self, y: Measurement) -> Tensor:
        """The number m of measurements of each signal: (batch,)."""
        return torch.full((len(y),), y[0].numel() if len(y) else 0, dtype=y.dtype, device=y.device)


check_entries(ForwardOperator)
