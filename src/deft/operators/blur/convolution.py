"""Convolution with a kernel for each signal: the part that does not depend on the border."""

from __future__ import annotations

import warnings
from abc import abstractmethod

import torch
from torch import Tensor

from deft.operators.base import LinearOperator
from deft.operators.checked import Shape
from deft.operators.parameters import kernel_of
from deft.types import Measurement, Signal

LIFT_NOISE_2 = 0.01


class Convolution(LinearOperator):
    """What both borders share: the kernel, its Fourier transform, and `lift`.

    `lift` is the regularised inverse A^T (A A^T + 0.01 I)^{-1} y: the pseudo-inverse would blow up
    noise at the frequencies that the kernel loses.
    """

    kernel: Tensor
    signal_is = "channels first, with as many axes of space as the kernel has"
    measurement_is = signal_is
    _lift_is = "its regularised inverse"

    def __init__(self, kernel: Tensor) -> None:
        super().__init__()
        self.per_signal("kernel", kernel_of(kernel))
        self._known: tuple[Tensor, tuple[int, ...], Tensor] | None = None

    def signal_shape(self) -> Shape:
        return (None,) * self.kernel.ndim

    def measurement_shape(self) -> Shape:
        return (None,) * self.kernel.ndim

    @abstractmethod
    def _transform(self, size: tuple[int, ...]) -> Tensor:
        """k_hat on half of the frequencies, for signals of this size."""

    def _transfer(self, x: Tensor) -> Tensor:
        """k_hat for signals like x, kept until the kernel or the size changes."""
        size = tuple(x.shape[2:])
        if self._known is not None and self._known[0] is self.kernel and self._known[1] == size:
            return self._known[2]
        if any(k > n for k, n in zip(self.kernel.shape[1:], size, strict=True)):
            warnings.warn(
                f"the blur kernel, {tuple(self.kernel.shape[1:])}, is larger than the signal, "
                f"{size}, whose continuation it sees more than once.",
                stacklevel=5,
            )
        with torch.inference_mode(False):
            transfer = self._transform(size)
        self._known = None if transfer.requires_grad else (self.kernel, size, transfer)
        return transfer

    def lift(self, y: Measurement) -> Signal:
        one = torch.ones(1, dtype=y.dtype, device=y.device)
        return self.adjoint(self.solve(y, one, LIFT_NOISE_2 * one))
