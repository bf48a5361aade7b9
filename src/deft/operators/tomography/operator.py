"""Tomography: the integrals of an image along straight rays, as an operator.

    (A x)_kd = integral of x along ray d of view k

The inverse of a Gaussian posterior is found in the space of images,

    A^T (r2 A A^T + s2 I)^{-1} v = (r2 A^T A + s2 I)^{-1} A^T v,

by conjugate gradients, since A^T A is close to a convolution, whose inverse preconditions it. What
a network reads is the filtered back-projection.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.operators.base import LinearOperator
from deft.operators.solvers import conjugate_gradients
from deft.operators.tomography import (
    backprojection,
    consistency,
    conventions,
    convolution,
    given,
    joseph,
)
from deft.operators.tomography.angles import checked_angles
from deft.operators.tomography.geometry import geometry
from deft.operators.tomography.quantities import check_name
from deft.types import Mask, Measurement, Signal, Times, expand, norm


@final
class Tomography(LinearOperator):
    """A sinogram (batch, channels, views, detectors) of images (batch, channels, height, width).

    `angles` are degrees: (views,) for all signals, or (batch, views), each its own. Lengths
    (`pixel`, the side of a pixel; `spacing` of the detectors; `fan`, the distances of source and
    detector from the rotation centre) share one unit, and x is in its inverse. `spacing` defaults
    to `pixel`, magnified for a fan; `detectors` to as many as see the whole image. `centre` of
    rotation is the "middle" of the image and of the detector, (n - 1) / 2, or the "pixel" n // 2 of
    both, as scikit-image has it. `filter` of the back-projection is "ramp", "shepp-logan" or
    "hann". `stored` keeps the matrix; by default where it fits.
    """

    angles: Tensor
    any_precision = True

    def __init__(
        self,
        size: int | Sequence[int],
        angles: Tensor | Sequence[float],
        *,
        detectors: int | None = None,
        spacing: float | None = None,
        pixel: float = 1.0,
        fan: tuple[float, float] | None = None,
        centre: str = "middle",
        filter: str = "hann",
        stored: bool | None = None,
    ) -> None:
        super().__init__()
        angles = checked_angles(angles)
        check_name("centre", centre, ("middle", "pixel"))
        check_name("filter", filter, tuple(backprojection.WINDOWS))
        if stored is not None and not isinstance(stored, bool):
            raise InvalidInput(
                "stored", given=stored, expected="True, False, or None: where it fits"
            )
        self._geometry = geometry(size, detectors, spacing, pixel, fan, centre)
        self.size, self.detectors, self.filter = (
            (self._geometry.height, self._geometry.width),
            self._geometry.detectors,
            filter,
        )
        self.spacing, self.pixel, self.fan, self.centre = (
            self._geometry.spacing,
            self._geometry.pixel,
            self._geometry.fan,
            centre,
        )
        entries = self._geometry.entries_per_view() * angles.shape[-1]
        self.stored = (
            (max(self.size) <= joseph.LARGEST_STORED and entries <= joseph.MOST_ENTRIES)
            if stored is None
            else stored
        )
        self.per_signal("angles", angles if angles.ndim == 2 else angles[None])
        self._known = convolution.Derived()

    @property
    def sinogram_shape(self) -> tuple[int, int]:
        """(views, detectors)."""
        return self.angles.shape[-1], self.detectors

    def forward(self, x_0: Signal) -> Measurement:
        given.check_images(self, x_0)
        if not len(x_0):
            return x_0.new_zeros(*x_0.shape[:2], *self.sinogram_shape)
        flat, projected = x_0.flatten(2), []
        blocks = self._blocks(flat)
        if len(blocks) == 1:
            return joseph.times(blocks[0].matrix, flat, transposed=False).reshape(
                *x_0.shape[:2], *self.sinogram_shape
            )
        for matrix, signals, _ in blocks:
            rays = joseph.times(matrix, flat.index_select(0, signals), transposed=False)
            projected.append(rays.unflatten(2, (-1, self.detectors)).movedim(2, 1).flatten(0, 1))
        order = torch.cat([entries for _, _, entries in blocks]).argsort()
        result: Measurement = torch.cat(projected)[order].unflatten(0, (len(x_0), -1)).movedim(1, 2)
        return result

    def adjoint(self, y: Measurement) -> Signal:
        given.check_sinograms(self, y)
        shape = (*y.shape[:2], *self.size)
        if not len(y):
            return y.new_zeros(shape)
        blocks = self._blocks(y)
        if len(blocks) == 1:
            return joseph.times(blocks[0].matrix, y.flatten(2), transposed=True).reshape(shape)
        x, each = y.new_zeros(*y.shape[:2], math.prod(self.size)), y.movedim(2, 1).flatten(0, 1)
        for matrix, signals, entries in blocks:
            rays = (
                each.index_select(0, entries)
                .unflatten(0, (len(signals), -1))
                .movedim(1, 2)
                .flatten(2)
            )
            x = x.index_add_(0, signals, joseph.times(matrix, rays, transposed=True))
        return x.reshape(shape)

    def solve(self, v: Measurement, r2: Times, s2: Times) -> Measurement:
        """(r2 A A^T + s2 I)^{-1} v = (v - r2 A u) / s2, with u = A^T (r2 A A^T + s2 I)^{-1} v; at
        s2 = 0 the pseudo-inverse.

        Where s2 is much less than r2 times the squared norm of A this subtracts near equals, and
        `pull`, A^T of it, is what can be had precisely.
        """
        r2, s2 = expand(torch.as_tensor(r2), v).to(v), expand(torch.as_tensor(s2), v).to(v)
        back, one = self.adjoint(v), torch.ones_like(r2)
        noisy = s2 > 0
        solved = (v - r2 * self(self._invert(back, r2, s2))) / torch.where(
            noisy, s2, torch.ones_like(s2)
        )
        if bool(noisy.all()):
            return solved
        exact = self(self._invert(self._invert(back, one, 0 * one), one, 0 * one))
        return torch.where(noisy, solved, exact / torch.where(r2 > 0, r2, one))

    def pull(self, x_0: Signal, residual: Measurement, r2: Times, s2: Times) -> Signal:
        """(r2 A^T A + s2 I)^{-1} A^T residual, to a relative residual of sqrt(eps)."""
        r2, s2 = (
            expand(torch.as_tensor(r2), residual).to(residual),
            expand(torch.as_tensor(s2), residual).to(residual),
        )
        return self._invert(self.adjoint(residual), r2, s2)

    def pseudo_inverse(self, y: Measurement) -> Signal:
        """A^+ y, by conjugate gradients; `lift` is the filtered back-projection."""
        one = y.new_ones((1,) * y.ndim)
        return self._invert(self.adjoint(y), one, 0 * one)

    def lift(self, y: Measurement) -> Signal:
        """The filtered back-projection; each view weighs as the angle that it stands for, and rays
        that are measured twice count half.

        `deft.operators.tomography.backprojection` says how. Raises InvalidInput for values that are
        not finite.
        """
        given.check_sinograms(self, y, finite=True)
        return backprojection.back_projected(
            y, self.angles, self._geometry, self.filter, self._radians(y)
        )

    def lift_of(self, value: float, like: Signal) -> Signal:
        """`value`, everywhere: what the back-projection of a constant means, which has an edge at
        the border of the image and streaks from there.
        """
        return torch.full_like(like, value)

    def readings(self, y: Measurement) -> dict[str, Measurement]:
        """The sinogram with its detector reversed, with its views in the other order, with both,
        and transposed where it is square.
        """
        return consistency.readings(y)

    def doubts(self, y: Measurement) -> list[str]:
        """Whether another reading of a sinogram is that of an image and this one is not: a residual
        below 0.7 of its own after some steps of least squares.

        All of an even scan with a parallel beam are those of images, turned over or mirrored: there
        only a prior can tell (`warn_doubts` with one).
        """
        given.check_sinograms(self, y, finite=True)
        return consistency.doubts(self, y, self.readings(y))

    def conventions(self) -> str:
        """Which cell is where and which way the angle turns, in lines of a key and its value
        (docs/ct.md has a picture).
        """
        return conventions.text(self._geometry, self.angles)

    def coverage(self, like: Signal) -> Mask:
        """The fraction of the views whose detector sees a place: one everywhere where the detector
        is wide enough.
        """
        angles = self._radians(like)
        seen = like.new_zeros(len(angles), math.prod(self.size))
        for k in range(angles.shape[1]):
            at, _ = self._geometry.seen_from(angles[:, k], like)
            seen = seen + ((at >= -0.5) & (at <= self.detectors - 0.5)).to(like)
        return (seen / angles.shape[1]).reshape(-1, 1, *self.size).expand(len(like), -1, -1, -1)

    def norm(self) -> Tensor:
        """The largest singular value of A, of each set of angles, by power iteration to a relative
        precision of about 1e-6: (1,) or (batch,).

        A has no negative entry, so that its first singular vector has none either, and the
        iteration starts close to it.
        """
        with torch.inference_mode(False), torch.no_grad():
            x = torch.ones(
                len(self.angles), 1, *self.size, dtype=self.angles.dtype, device=self.angles.device
            )
            size = x.new_zeros(len(x))
            for _ in range(200):
                image = self.adjoint(self(x / expand(norm(x), x)))
                before, size, x = size, norm(image), image
                if bool((size - before <= 1e-7 * size).all()):
                    break
            return size.sqrt()

    def rays(self) -> tuple[Tensor, Tensor]:
        """A point on every ray and its unit direction (X, Y), in the unit of `pixel` from the
        rotation centre: (1 or batch, views, detectors, 2).
        """
        points, directions = self._geometry.rays(self.angles.double().deg2rad().flatten())
        shape = (*self.angles.shape, self.detectors, 2)
        return points.reshape(shape), directions.reshape(shape)

    def _radians(self, like: Tensor) -> Tensor:
        return self.angles.double().deg2rad().to(like)

    def _invert(self, b: Signal, r2: Tensor, s2: Tensor) -> Signal:
        """(r2 A^T A + s2 I)^+ b."""
        tolerance = math.sqrt(torch.finfo(b.dtype).eps)
        return conjugate_gradients(
            lambda u: r2 * self.adjoint(self(u)) + s2 * u,
            b,
            tolerance=tolerance,
            precondition=lambda u: self.precondition(u, r2, s2),
        )

    def precondition(self, b: Signal, r2: Tensor, s2: Tensor) -> Signal:
        """(r2 A^T A + s2 I)^{-1} b, as if A^T A were a periodic convolution; b itself at s2 = 0,
        where conjugate gradients from zero find the pseudo-inverse.
        """
        weight = 1 / torch.where(s2 > 0, r2 * self._power(b) + s2, torch.ones_like(s2))
        return torch.fft.irfft2(weight * torch.fft.rfft2(b), s=self.size) if len(b) else b

    def _power(self, like: Tensor) -> Tensor:
        """A^T A in the Fourier basis, as if it were a periodic convolution: (1 or batch, 1, height,
        width // 2 + 1).
        """
        if (power := self._known.get(self.angles, like)) is None:
            power = convolution.power(
                self.size, len(self.angles), lambda x: self.adjoint(self(x)), like
            )
            self._known.keep(self.angles, like, power)
        return power

    def _blocks(self, like: Tensor) -> list[joseph.Block]:
        return joseph.blocks(self._geometry, self.angles, like, self.stored)
