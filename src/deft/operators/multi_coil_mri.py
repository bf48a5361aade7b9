"""Magnetic resonance imaging with several coils, each of which sees the image through its own
sensitivity.

    y_c = M F S_c x,    c = 1 ... coils,    S_c = diag(sensitivity of coil c, complex)
    A^T y = sum_c S_c^* F^H M y_c

F, M and where the frequency 0 stands are those of `deft.operators.MRI`. Complex numbers are two
channels, (real, imaginary): x is (batch, 2, height, width), y and the sensitivities (batch, 2,
coils, height, width), torch.view_as_real(z).movedim(-1, 1) of complex z. The normal equations are
solved by conjugate gradients (SENSE, Pruessmann et al. 2001,
doi:10.1002/mrm.1241).
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.operators.base import LinearOperator
from deft.operators.checked import Shape
from deft.operators.mri import as_channels, k_space_doubts
from deft.operators.parameters import mask_of, real_tensor
from deft.types import Mask, Measurement, Signal

_LEAST = (
    1e-3  # of the largest sum of |S_c|^2: where no coil sees anything, nothing is divided by it
)


@final
class MultiCoilMRI(LinearOperator):
    """y_c = M F S_c x for each coil c.

    `mask` as in `MRI`; `sensitivities` is complex, (batch or 1, coils, height, width), or real with
    two channels, (batch or 1, 2, coils, height, width). `sigma_y` is the noise of the real and of
    the imaginary part of each coil; noise that is correlated between coils is a covariance of
    `GaussianLikelihood`.
    """

    mask: Tensor
    sensitivities: Tensor
    signal_is = "complex images as two channels, real and imaginary, of the mask's size"
    measurement_is = "frequencies of each coil, (real and imaginary, coils, height, width)"
    _lift_is = "its zero-filled reconstruction, the coils combined"

    def __init__(self, mask: Tensor, sensitivities: Tensor) -> None:
        super().__init__()
        self.per_signal("mask", mask_of(mask, "height, width", "a frequency is measured"))
        found = _sensitivities(sensitivities)
        size, batch = self.mask.shape[2:], {len(self.mask), len(found)} - {1}
        if found.shape[3:] != size or len(batch) > 1:
            raise InvalidInput(
                "sensitivities",
                given=f"{len(found)} of {found.shape[3]} x {found.shape[4]} (height x width)",
                expected=f"1 or {len(self.mask)} of {size[0]} x {size[1]}, as the masks are",
            )
        self.per_signal("sensitivities", found)

    def signal_shape(self) -> Shape:
        return (2, *self.mask.shape[2:])

    def measurement_shape(self) -> Shape:
        return tuple(self.sensitivities.shape[1:])

    def forward(self, x_0: Signal) -> Measurement:
        seen = _times(self.sensitivities, x_0[:, :, None])
        return self.mask[:, :, None] * as_channels(torch.fft.fft2, seen)

    def adjoint(self, y: Measurement) -> Signal:
        back = as_channels(torch.fft.ifft2, self.mask[:, :, None] * y)
        return _times(self.sensitivities, back, conjugate=True).sum(2)

    def lift(self, y: Measurement) -> Signal:
        """A^T y over sum_c |S_c|^2: what is seen where every frequency is measured."""
        total = self.sensitivities.square().sum((1, 2))[:, None]
        least = _LEAST * total.flatten(1).amax(1).reshape(-1, 1, 1, 1)
        return self.adjoint(y) / torch.maximum(total, least)

    def coverage(self, like: Signal) -> Mask:
        """The share of frequencies that are measured: the same at every place."""
        share = self.mask.flatten(1).mean(1).to(like.dtype).reshape(-1, 1, 1, 1)
        return share.expand(len(like), 1, *like.shape[2:])

    def observed(self, y: Measurement) -> Measurement:
        return self.mask[:, :, None] * y

    def count(self, y: Measurement) -> Tensor:
        coils = self.sensitivities.shape[2]
        return (2 * coils * self.mask.flatten(1).sum(1)).to(y.dtype).expand(len(y))

    def doubts(self, y: Measurement) -> list[str]:
        """As for `MRI`, of the power of all coils together."""
        return k_space_doubts(y.square().sum((1, 2))[:, None], self.mask.to(y)) if len(y) else []


def _sensitivities(value: Tensor) -> Tensor:
    expected = (
        "complex, (batch or 1, coils, height, width), or real and imaginary as two channels, "
        "(batch or 1, 2, coils, height, width)"
    )
    if isinstance(value, Tensor) and value.is_complex():
        value = torch.view_as_real(value).movedim(-1, 1)
    value = real_tensor("sensitivities", value, expected)
    if value.ndim != 5 or value.shape[1] != 2 or 0 in value.shape[1:]:
        raise InvalidInput(
            "sensitivities", given=f"the shape {tuple(value.shape)}", expected=expected
        )
    if not value.is_meta and len(value) and not bool(value.flatten(1).any(1).all()):
        raise InvalidInput("sensitivities", given="coils that see nothing", expected=expected)
    return value


def _times(s: Tensor, x: Tensor, *, conjugate: bool = False) -> Tensor:
    """s x, or s^* x, of complex numbers whose parts are on axis 1."""
    a, b = s[:, 0], -s[:, 1] if conjugate else s[:, 1]
    return torch.stack([a * x[:, 0] - b * x[:, 1], a * x[:, 1] + b * x[:, 0]], dim=1)
