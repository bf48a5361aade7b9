"""Tomography: the integrals of an image along straight rays, parallel or from a source.

    (A x)_kd = integral of x along ray d of view k

With e = (cos theta, sin theta) along the detector and f = (-sin theta, cos theta) along the beam, columns running along +X and rows along -Y,

    parallel:  s_d e + t f,    s_d = (d - centre) spacing
    fan:       from -R f to L f + s_d e,    R and L the distances of source and detector from the rotation centre

Each ray is integrated with Joseph's rule (Joseph 1982, doi:10.1109/TMI.1982.4307572): one step per row of pixels, or per column where the ray runs more
along the rows, with linear interpolation between the two nearest pixels. The weights are the entries of a sparse matrix, kept with its
transpose, so that the adjoint is exact; images beyond 512 x 512 compute them anew in every product, and the adjoint is as exact.

The inverse of a Gaussian posterior is found in the space of images,

    A^T (r2 A A^T + s2 I)^{-1} v = (r2 A^T A + s2 I)^{-1} A^T v,

by conjugate gradients, since A^T A is close to a convolution, whose inverse preconditions it. What a network reads is the filtered back-projection
(Kak & Slaney 1988, Principles of Computerized Tomographic Imaging, sections 3.3 and 3.4).
"""

from __future__ import annotations

import math
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from torch import Tensor

from deft.errors import InvalidInput, nearest_names
from deft.operators.base import LinearOperator, conjugate_gradients
from deft.types import Mask, Measurement, Signal, Times, expand, norm

_LARGEST_STORED = 512
_MOST_ENTRIES = 1 << 26  # of one matrix: with its transpose 1 GiB in single precision
_MOST_BYTES = 1 << 29  # of all matrices of single views that are kept for the next product, and of all scans
_CHUNK = 1 << 21  # entries that are computed at a time
_POINTS = 16
_QUASI_RANDOM = (0.7548776662466927, 0.5698402909980532)  # Roberts 2018, the R2 sequence


def views(count: int, span: float = 180.0, start: float = 0.0) -> Tensor:
    """`count` angles in degrees, evenly over [start, start + span): 180 for a parallel beam, 360 for a fan; less is a limited angle."""
    if count < 1:
        raise InvalidInput(f"a scan has at least one view; got {count}.")
    return start + span / count * torch.arange(count, dtype=torch.get_default_dtype())


@final
class Tomography(LinearOperator):
    """A sinogram (batch, channels, views, detectors) of images (batch, channels, height, width).

    `angles` are degrees: (views,) for all signals, or (batch, views), each its own. Lengths (`pixel`, the side of a pixel; `spacing` of the detectors; `fan`,
    the distances of source and detector from the rotation centre) share one unit, and x is in its inverse. `spacing` defaults to `pixel`, magnified
    for a fan; `detectors` to as many as see the whole image. `centre` of rotation is the "middle" of the image and of the detector, (n - 1) / 2, or the
    "pixel" n // 2 of both, as scikit-image has it. `filter` of the back-projection is "ramp", "shepp-logan" or "hann". `stored` keeps the matrix; by
    default where it fits.
    """

    angles: Tensor

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
        height, width = (size, size) if isinstance(size, int) else size
        angles = torch.as_tensor(angles, dtype=torch.get_default_dtype())
        if angles.ndim not in (1, 2) or angles.shape[-1] == 0 or not bool(angles.isfinite().all()):
            raise InvalidInput(f"angles are finite degrees, (views,) or (batch, views); got the shape {tuple(angles.shape)}.")
        _check_name("centre", centre, ("middle", "pixel"))
        _check_name("filter", filter, tuple(_WINDOWS))
        self._geometry = _geometry(int(height), int(width), detectors, spacing, float(pixel), fan, centre)
        self.size, self.detectors, self.filter = (int(height), int(width)), self._geometry.detectors, filter
        self.spacing, self.pixel, self.fan, self.centre = self._geometry.spacing, float(pixel), self._geometry.fan, centre
        fits = max(self.size) <= _LARGEST_STORED and self._geometry.entries_per_view() * angles.shape[-1] <= _MOST_ENTRIES
        self.stored = fits if stored is None else stored
        self.per_signal("angles", angles if angles.ndim == 2 else angles[None])
        self._known = _Derived()

    @property
    def sinogram_shape(self) -> tuple[int, int]:
        """(views, detectors)."""
        return self.angles.shape[-1], self.detectors

    def forward(self, x_0: Signal) -> Measurement:
        self._check(x_0, self.size, "images", "(batch, channels, height, width)")
        if not len(x_0):
            return x_0.new_zeros(*x_0.shape[:2], *self.sinogram_shape)
        flat, projected = x_0.flatten(2), []
        blocks = self._blocks(flat)
        if len(blocks) == 1:
            return _times(blocks[0].matrix, flat, transposed=False).reshape(*x_0.shape[:2], *self.sinogram_shape)
        for matrix, signals, _ in blocks:
            rays = _times(matrix, flat.index_select(0, signals), transposed=False)
            projected.append(rays.unflatten(2, (-1, self.detectors)).movedim(2, 1).flatten(0, 1))
        order = torch.cat([entries for _, _, entries in blocks]).argsort()
        return torch.cat(projected)[order].unflatten(0, (len(x_0), -1)).movedim(1, 2)

    def adjoint(self, y: Measurement) -> Signal:
        self._check(y, self.sinogram_shape, "sinograms", "(batch, channels, views, detectors)")
        shape = (*y.shape[:2], *self.size)
        if not len(y):
            return y.new_zeros(shape)
        blocks = self._blocks(y)
        if len(blocks) == 1:
            return _times(blocks[0].matrix, y.flatten(2), transposed=True).reshape(shape)
        x, each = y.new_zeros(*y.shape[:2], math.prod(self.size)), y.movedim(2, 1).flatten(0, 1)
        for matrix, signals, entries in blocks:
            rays = each.index_select(0, entries).unflatten(0, (len(signals), -1)).movedim(1, 2).flatten(2)
            x = x.index_add_(0, signals, _times(matrix, rays, transposed=True))
        return x.reshape(shape)

    def solve(self, v: Measurement, r2: Times, s2: Times) -> Measurement:
        """(r2 A A^T + s2 I)^{-1} v = (v - r2 A u) / s2, with u = A^T (r2 A A^T + s2 I)^{-1} v; at s2 = 0 the pseudo-inverse.

        Where s2 is much less than r2 times the squared norm of A this subtracts near equals, and `pull`, A^T of it, is what can be had precisely.
        """
        r2, s2 = expand(torch.as_tensor(r2), v).to(v), expand(torch.as_tensor(s2), v).to(v)
        back, one = self.adjoint(v), torch.ones_like(r2)
        noisy = s2 > 0
        solved = (v - r2 * self(self._invert(back, r2, s2))) / torch.where(noisy, s2, torch.ones_like(s2))
        if bool(noisy.all()):
            return solved
        exact = self(self._invert(self._invert(back, one, 0 * one), one, 0 * one))
        return torch.where(noisy, solved, exact / torch.where(r2 > 0, r2, one))

    def pull(self, x_0: Signal, residual: Measurement, r2: Times, s2: Times) -> Signal:
        """(r2 A^T A + s2 I)^{-1} A^T residual, to a relative residual of sqrt(eps)."""
        r2, s2 = expand(torch.as_tensor(r2), residual).to(residual), expand(torch.as_tensor(s2), residual).to(residual)
        return self._invert(self.adjoint(residual), r2, s2)

    def pseudo_inverse(self, y: Measurement) -> Signal:
        """A^+ y, by conjugate gradients; `lift` is the filtered back-projection."""
        one = y.new_ones((1,) * y.ndim)
        return self._invert(self.adjoint(y), one, 0 * one)

    def lift(self, y: Measurement) -> Signal:
        """The filtered back-projection; each view weighs as the angle that it stands for, and rays that are measured twice count half."""
        self._check(y, self.sinogram_shape, "sinograms", "(batch, channels, views, detectors)")
        geometry = self._geometry
        filtered = _filter(geometry.weighted(y), _response(self.detectors, self.filter, geometry.virtual_spacing, y))
        filtered = torch.nn.functional.pad(filtered, (1, 1))
        angles, widths = self._radians(y), _widths(self.angles).to(y)
        x = y.new_zeros(*y.shape[:2], math.prod(self.size))
        for k in range(angles.shape[1]):
            at, weight = geometry.seen_from(angles[:, k], y)
            at = (at + 1).clamp(0, self.detectors + 1)
            left = at.floor().clamp(max=self.detectors)
            index, rest = left.long()[:, None].expand(*x.shape), (at - left)[:, None]
            view = filtered[:, :, k]
            seen = torch.lerp(view.gather(2, index), view.gather(2, index + 1), rest.expand(*x.shape))
            x = x + (widths[:, k, None] * weight)[:, None] * seen
        return x.reshape(*y.shape[:2], *self.size)

    def lift_of(self, value: float, like: Signal) -> Signal:
        """`value`, everywhere: what the back-projection of a constant means, which has an edge at the border of the image and streaks from there."""
        return torch.full_like(like, value)

    def coverage(self, like: Signal) -> Mask:
        """The fraction of the views whose detector sees a place: one everywhere where the detector is wide enough."""
        angles = self._radians(like)
        seen = like.new_zeros(len(angles), math.prod(self.size))
        for k in range(angles.shape[1]):
            at, _ = self._geometry.seen_from(angles[:, k], like)
            seen = seen + ((at >= -0.5) & (at <= self.detectors - 0.5)).to(like)
        return (seen / angles.shape[1]).reshape(-1, 1, *self.size).expand(len(like), -1, -1, -1)

    def norm(self) -> Tensor:
        """The largest singular value of A, of each set of angles, by power iteration to a relative precision of about 1e-6: (1,) or (batch,).

        A has no negative entry, so that its first singular vector has none either, and the iteration starts close to it.
        """
        with torch.inference_mode(False), torch.no_grad():
            x = torch.ones(len(self.angles), 1, *self.size, dtype=self.angles.dtype, device=self.angles.device)
            size = x.new_zeros(len(x))
            for _ in range(200):
                image = self.adjoint(self(x / expand(norm(x), x)))
                before, size, x = size, norm(image), image
                if bool((size - before <= 1e-7 * size).all()):
                    break
            return size.sqrt()

    def rays(self) -> tuple[Tensor, Tensor]:
        """A point on every ray and its unit direction (X, Y), in the unit of `pixel` from the rotation centre: (1 or batch, views, detectors, 2)."""
        points, directions = self._geometry.rays(self.angles.double().deg2rad().flatten())
        shape = (*self.angles.shape, self.detectors, 2)
        return points.reshape(shape), directions.reshape(shape)

    def _radians(self, like: Tensor) -> Tensor:
        return self.angles.double().deg2rad().to(like)

    def _invert(self, b: Signal, r2: Tensor, s2: Tensor) -> Signal:
        """(r2 A^T A + s2 I)^+ b."""
        tolerance = math.sqrt(torch.finfo(b.dtype).eps)
        return conjugate_gradients(
            lambda u: r2 * self.adjoint(self(u)) + s2 * u, b, tolerance=tolerance, precondition=lambda u: self.precondition(u, r2, s2)
        )

    def precondition(self, b: Signal, r2: Tensor, s2: Tensor) -> Signal:
        """(r2 A^T A + s2 I)^{-1} b, as if A^T A were a periodic convolution; b itself at s2 = 0, where conjugate gradients from zero find the pseudo-inverse."""
        weight = 1 / torch.where(s2 > 0, r2 * self._power(b) + s2, torch.ones_like(s2))
        return torch.fft.irfft2(weight * torch.fft.rfft2(b), s=self.size) if len(b) else b

    def _power(self, like: Tensor) -> Tensor:
        """A^T A in the Fourier basis, as if it were a periodic convolution: (1 or batch, 1, height, width // 2 + 1).

        That with the mean response to points in the middle of the image, times 1 - |distance| / n along each axis (the nearest in the Frobenius norm,
        T. Chan 1988, doi:10.1137/0909051), and no entry below a hundredth of the largest, which rounding errors and few views would make.
        """
        if (power := self._known.get(self.angles, like)) is None:
            with torch.inference_mode(False), torch.no_grad():
                power = torch.fft.rfft2(self._response(like)).real
                power = power.maximum(0.01 * power.amax((2, 3), keepdim=True))
            self._known.keep(self.angles, like, power)
        return power

    def _response(self, like: Tensor) -> Tensor:
        """A^T A of a point, tapered, moved to place 0 and averaged over points: (1 or batch, 1, height, width)."""
        mean = torch.zeros(max(len(self.angles), 1), 1, *self.size, dtype=like.dtype, device=like.device)
        if not len(self.angles):
            return mean
        places = [tuple(int(n * (0.25 + 0.5 * (k * step % 1))) for n, step in zip(self.size, _QUASI_RANDOM)) for k in range(_POINTS)]
        points = torch.zeros(len(self.angles), _POINTS, *self.size, dtype=like.dtype, device=like.device)
        for k, (row, column) in enumerate(places):
            points[:, k, row, column] = 1
        responses = self.adjoint(self(points))
        for k, (row, column) in enumerate(places):
            mean += responses[:, k : k + 1].roll((-row, -column), (2, 3)) / _POINTS
        tapers = []
        for n in self.size:
            at = torch.arange(n, dtype=like.dtype, device=like.device)
            tapers.append(1 - torch.minimum(at, n - at) / n)
        return mean * tapers[0][:, None] * tapers[1]

    def _blocks(self, like: Tensor) -> list[_Block]:
        """The matrix of each set of angles with the signals that have it; of each angle, where matrices of all sets would not fit."""
        sets, count = self.angles.double().cpu(), len(like)
        if len(sets) > 1:
            sets, which = sets.unique(dim=0, return_inverse=True)
        else:
            which = torch.zeros(count, dtype=torch.long)
        make = _stored if self.stored else _OnTheFly
        views, size = sets.shape[1], 4 + like.element_size()
        blocks = []
        if len(sets) == 1 or not self.stored or 2 * size * len(sets) * views * self._geometry.entries_per_view() <= _MOST_BYTES:
            for k, angles in enumerate(sets.tolist()):
                signals = (which == k).nonzero()[:, 0]
                entries = (signals[:, None] * views + torch.arange(views)).flatten()
                blocks.append(
                    _Block(make(self._geometry, tuple(angles), like.dtype, like.device), signals.to(like.device), entries.to(like.device))
                )
            return blocks
        values, where = sets[which].unique(return_inverse=True)
        entries_of = where.flatten().argsort(stable=True).split(where.flatten().bincount(minlength=len(values)).tolist())
        for angle, entries in zip(values.tolist(), entries_of, strict=True):
            matrix = make(self._geometry, (angle,), like.dtype, like.device)
            blocks.append(_Block(matrix, (entries // views).to(like.device), entries.to(like.device)))
        return blocks

    def _check(self, x: Tensor, wanted: tuple[int, int], what: str, axes: str) -> None:
        if x.ndim != 4 or tuple(x.shape[2:]) != wanted:
            turned = (
                "; it looks transposed, as scikit-image has it"
                if x.ndim == 4 and tuple(x.shape[:1:-1]) == wanted and what == "sinograms"
                else ""
            )
            raise InvalidInput(
                f"this scan has {what} of {wanted[0]} x {wanted[1]}, {axes}; got the shape {tuple(x.shape)}{turned}. "
                f"It has {self.sinogram_shape[0]} views and {self.detectors} detectors of images {self.size[0]} x {self.size[1]}."
            )
        if len(self.angles) not in (1, len(x)):
            raise InvalidInput(
                f"this scan has {len(self.angles)} sets of angles, one per signal, and {len(x)} {what} came; use take or repeat."
            )


class _Derived(dict[str, Tensor]):
    """What is computed from the angles and kept with them by copies; neither pickled nor copied in depth."""

    def get(self, angles: Tensor, like: Tensor) -> Tensor | None:  # type: ignore[override]
        known = super().get("value")
        fits = known is not None and self["angles"] is angles and known.dtype == like.dtype and known.device == like.device
        return known if fits else None

    def keep(self, angles: Tensor, like: Tensor, value: Tensor) -> None:
        self.update(angles=angles, value=value)

    def __reduce__(self) -> tuple[type[_Derived], tuple[()]]:
        return _Derived, ()


@dataclass(frozen=True)
class _Geometry:
    """A scan without its angles; hashable, the key of what is stored."""

    height: int
    width: int
    detectors: int
    spacing: float
    pixel: float
    fan: tuple[float, float] | None
    centre: str

    def _middle(self, n: int) -> float:
        return (n - 1) / 2 if self.centre == "middle" else n // 2

    @property
    def virtual_spacing(self) -> float:
        """The detectors' spacing, as seen at the rotation centre."""
        return self.spacing if self.fan is None else self.spacing * self.fan[0] / sum(self.fan)

    def entries_per_view(self) -> int:
        """About how many entries the matrix of one view has, at most."""
        return math.ceil(2 * self.height * self.width * max(1.0, self.pixel / self.virtual_spacing))

    def along_detector(self, like: Tensor) -> Tensor:
        """s_d."""
        return self.spacing * (torch.arange(self.detectors, dtype=like.dtype, device=like.device) - self._middle(self.detectors))

    def rays(self, angles: Tensor) -> tuple[Tensor, Tensor]:
        """A point on each ray and its unit direction, (X, Y): (views, detectors, 2)."""
        e = torch.stack([angles.cos(), angles.sin()], -1)[:, None]
        f = torch.stack([-angles.sin(), angles.cos()], -1)[:, None]
        s = self.along_detector(angles)[:, None]
        if self.fan is None:
            return s * e, f.expand(-1, self.detectors, -1)
        source, detector = self.fan
        direction = (source + detector) * f + s * e
        return (-source * f).expand(-1, self.detectors, -1), direction / direction.norm(dim=-1, keepdim=True)

    def crossings(self, points: Tensor, directions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Which pixels each ray crosses and the weight of each in Joseph's rule, zero where there is none: (rays, steps, 2)."""
        column, row = self._middle(self.width) + points[..., 0] / self.pixel, self._middle(self.height) - points[..., 1] / self.pixel
        right, down = directions[..., 0], -directions[..., 1]
        by_row = down.abs() >= right.abs()
        major = torch.where(by_row, down, right)
        slope = torch.where(by_row, right, down) / major
        start = torch.where(by_row, column, row) - slope * torch.where(by_row, row, column)
        step = torch.arange(max(self.height, self.width), device=points.device)
        at = start[..., None].to(dtype) + slope[..., None].to(dtype) * step
        near = at.floor()
        rest, near = at - near, near.long()
        by_row, length = by_row[..., None], (self.pixel / major.abs()[..., None]).to(dtype)
        steps, places = torch.where(by_row, self.height, self.width), torch.where(by_row, self.width, self.height)
        index, weight = [], []
        for place, share in ((near, 1 - rest), (near + 1, rest)):
            inside = (place >= 0) & (place < places) & (step < steps)
            index.append(torch.where(inside, torch.where(by_row, step * self.width + place, place * self.width + step), 0))
            weight.append(torch.where(inside, share * length, 0.0))
        return torch.stack(index, -1), torch.stack(weight, -1)

    def weighted(self, y: Tensor) -> Tensor:
        """y, for a fan weighed by the cosine of each ray's angle to the middle one."""
        if self.fan is None:
            return y
        distance = sum(self.fan)
        return y * (distance / (distance**2 + self.along_detector(y) ** 2).sqrt())

    def seen_from(self, angle: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Where on the detector each pixel is seen, in detectors, and its weight in the back-projection: (sets, pixels)."""
        rows, columns = (torch.arange(n, dtype=like.dtype, device=like.device) for n in (self.height, self.width))
        across = (self.pixel * (columns - self._middle(self.width))).expand(self.height, -1).flatten()
        up = (self.pixel * (self._middle(self.height) - rows))[:, None].expand(-1, self.width).flatten()
        cosine, sine = angle.cos()[:, None], angle.sin()[:, None]
        s, weight = across * cosine + up * sine, torch.ones_like(across)
        if self.fan is not None:
            distance = self.fan[0] + up * cosine - across * sine
            s, weight = s * sum(self.fan) / distance, (self.fan[0] / distance) ** 2
        return s / self.spacing + self._middle(self.detectors), weight


def _geometry(
    height: int, width: int, detectors: int | None, spacing: float | None, pixel: float, fan: tuple[float, float] | None, centre: str
) -> _Geometry:
    """The scan, with what was left out; raises InvalidInput for lengths that make none."""
    if height < 1 or width < 1 or not 0 < pixel < math.inf or (spacing is not None and not 0 < spacing < math.inf):
        raise InvalidInput(
            f"a scan needs positive sizes and lengths; got {height} x {width} pixels of {pixel:g} and a spacing of {spacing}."
        )
    reach = 0.5 * pixel * math.hypot(height, width)  # of the image, from its middle
    magnification = 1.0
    if fan is not None:
        fan = (float(fan[0]), float(fan[1]))
        if fan[0] <= reach or fan[1] < 0:
            raise InvalidInput(
                f"fan = (source, detector) are distances from the rotation centre; the source must be outside the image, farther than {reach:g}, and the "
                f"detector at 0 or beyond; got {fan}."
            )
        magnification = sum(fan) / fan[0]
    spacing = pixel * magnification if spacing is None else float(spacing)
    if detectors is None:
        half = reach if fan is None else sum(fan) * reach / math.sqrt(fan[0] ** 2 - reach**2)
        detectors = math.ceil(2 * half / spacing - 1e-9)
    if detectors < 1:
        raise InvalidInput(f"a scan needs at least one detector; got {detectors}.")
    return _Geometry(height, width, int(detectors), spacing, pixel, fan, centre)


class _Stored(NamedTuple):
    """A and its transpose, as sparse matrices (compressed rows)."""

    matrix: Tensor
    transpose: Tensor

    def times(self, x: Tensor, transposed: bool) -> Tensor:
        """A x, or A^T x, for the columns of x."""
        return (self.transpose if transposed else self.matrix) @ x

    def bytes(self) -> int:
        return sum(t.values().nbytes + t.col_indices().nbytes + t.crow_indices().nbytes for t in self)


class _OnTheFly(NamedTuple):
    """A and its transpose, computed anew in every product."""

    geometry: _Geometry
    angles: tuple[float, ...]
    dtype: torch.dtype
    device: torch.device

    def times(self, x: Tensor, transposed: bool) -> Tensor:
        x, rays = x.mT.contiguous(), self.geometry.detectors * len(self.angles)
        result = x.new_zeros(len(x), self.geometry.height * self.geometry.width if transposed else rays)
        for rays_of, index, weight in _pieces(self.geometry, self.angles, self.device, x.dtype):
            index, weight = index.flatten(), weight.flatten(1)
            if transposed:
                each = (x[:, rays_of, None] * weight).flatten(1)
                result.scatter_add_(1, index.expand(len(x), -1), each)
            else:
                result[:, rays_of] = (x.index_select(1, index).unflatten(1, weight.shape) * weight).sum(2)
        return result.mT


_Matrix = _Stored | _OnTheFly


class _Block(NamedTuple):
    """The matrix of some views, the signals that have them, and where these views are among (signals x views)."""

    matrix: _Matrix
    signals: Tensor
    entries: Tensor


class _Product(torch.autograd.Function):
    """x -> A x, whose derivative is A^T, whose derivative is A: as often as one likes."""

    @staticmethod
    def forward(matrix: _Matrix, x: Tensor, transposed: bool) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):  # sparse matrices have no half precision
            return matrix.times(x, transposed)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
        ctx.matrix, _, ctx.transposed = inputs

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[None, Tensor, None]:  # type: ignore[no-untyped-def,override]
        return None, _Product.apply(ctx.matrix, gradient, not ctx.transposed), None


def _times(matrix: _Matrix, x: Tensor, transposed: bool) -> Tensor:
    """A or A^T applied to the last axis: (batch, channels, n) -> (batch, channels, m)."""
    columns = x.flatten(0, 1).mT.contiguous()
    return _Product.apply(matrix, columns, transposed).mT.reshape(*x.shape[:2], -1)


def _pieces(
    geometry: _Geometry, angles: Sequence[float], device: torch.device, dtype: torch.dtype
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """The rays some at a time: which they are, the pixels that they cross, and the weights, both (rays, steps, 2)."""
    points, directions = geometry.rays(torch.tensor(angles, dtype=torch.float64, device=device).deg2rad())
    points, directions = points.flatten(0, 1), directions.flatten(0, 1)
    count = max(1, _CHUNK // (2 * max(geometry.height, geometry.width)))
    for first in range(0, len(points), count):
        some = slice(first, first + count)
        yield some, *geometry.crossings(points[some], directions[some], dtype)


_VIEWS: OrderedDict[tuple[object, ...], _Stored] = OrderedDict()
_SCANS: OrderedDict[tuple[object, ...], _Stored] = OrderedDict()


def _stored(geometry: _Geometry, angles: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> _Stored:
    """The matrix of these views, kept from the last time if it was used lately."""
    key, kept = (geometry, angles, dtype, device), _VIEWS if len(angles) == 1 else _SCANS
    if key not in kept:
        with torch.inference_mode(False), torch.no_grad():
            if len(angles) == 1:
                kept[key] = _Stored(*(matrix.to(device) for matrix in _built(geometry, angles, dtype)))
            else:
                kept[key] = _joined([_stored(geometry, (angle,), dtype, device) for angle in angles])
        total = sum(matrix.bytes() for matrix in kept.values())
        while total > _MOST_BYTES and len(kept) > 1:
            total -= kept.popitem(last=False)[1].bytes()
    kept.move_to_end(key)
    return kept[key]


def _built(geometry: _Geometry, angles: tuple[float, ...], dtype: torch.dtype) -> _Stored:
    """The matrix row by row, and its transpose by a stable sort of the columns."""
    counts, columns, weights = [], [], []
    for _, index, weight in _pieces(geometry, angles, torch.device("cpu"), torch.float64):
        crossed = weight > 0
        counts.append(crossed.sum((1, 2)))
        columns.append(index[crossed].int())
        weights.append(weight[crossed].to(dtype))
    per_ray, column, value = torch.cat(counts), torch.cat(columns), torch.cat(weights)
    pixels = geometry.height * geometry.width
    ray = torch.arange(len(per_ray), dtype=torch.int32).repeat_interleave(per_ray)
    order = column.sort(stable=True).indices
    return _Stored(
        _compressed(_starts(per_ray), column, value, (len(per_ray), pixels)),
        _compressed(_starts(column.bincount(minlength=pixels)), ray[order], value[order], (pixels, len(per_ray))),
    )


def _joined(views: Sequence[_Stored]) -> _Stored:
    """The matrix of several views, one below the other, and its transpose, one beside the other."""
    rays, pixels = views[0].matrix.shape
    columns = torch.cat([view.matrix.col_indices() for view in views])
    starts = _starts(torch.cat([view.matrix.crow_indices().diff() for view in views]))
    matrix = _compressed(starts, columns, torch.cat([view.matrix.values() for view in views]), (rays * len(views), pixels))
    per_pixel = [view.transpose.crow_indices().diff() for view in views]
    starts = _starts(torch.stack(per_pixel).sum(0))
    ray, value = torch.empty_like(columns), torch.empty_like(matrix.values())
    begin = starts[:-1].long()
    for k, (view, counts) in enumerate(zip(views, per_pixel, strict=True)):
        first = begin - view.transpose.crow_indices()[:-1]
        place = first.repeat_interleave(counts) + torch.arange(len(view.transpose.values()), device=first.device)
        ray[place], value[place] = view.transpose.col_indices() + k * rays, view.transpose.values()
        begin = begin + counts
    return _Stored(matrix, _compressed(starts, ray, value, (pixels, rays * len(views))))


def _starts(per_row: Tensor) -> Tensor:
    return torch.cat([per_row.new_zeros(1), per_row.cumsum(0)]).int()


def _compressed(starts: Tensor, columns: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """A sparse matrix of compressed rows, with indices of 32 bits."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(starts, columns, values, size=size, check_invariants=False)


def _check_name(argument: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise InvalidInput(f"unknown {argument} {name!r} of a scan; known: {', '.join(known)}{nearest_names(name, list(known))}")


def _widths(angles: Tensor) -> Tensor:
    """The angle that each view stands for in a back-projection, in radians: half of the gaps to its neighbours.

    Gaps of more than three times the middle one are holes (a limited angle), and count as the middle one. In all they are at most pi, which sees every ray once.
    """
    turn = 2 * math.pi
    order = (angles.double().cpu().deg2rad() % turn).sort(dim=1)
    gaps = torch.diff(order.values, dim=1, append=order.values[:, :1] + turn)
    if angles.shape[1] == 1:
        return torch.full_like(gaps, math.pi)
    middle = gaps.median(dim=1, keepdim=True).values
    gaps = torch.where(gaps > 3 * middle.clamp(min=1e-6), middle, gaps)
    widths = torch.zeros_like(gaps).scatter(1, order.indices, 0.5 * (gaps + gaps.roll(1, 1)))
    return widths * (math.pi / widths.sum(1, keepdim=True).clamp(min=1e-12)).clamp(max=1)


_WINDOWS: dict[str, Callable[[Tensor], Tensor]] = {
    "ramp": torch.ones_like,
    "shepp-logan": torch.sinc,
    "hann": lambda frequency: 0.5 * (1 + torch.cos(2 * math.pi * frequency)),
}


def _response(detectors: int, window: str, spacing: float, like: Tensor) -> Tensor:
    """The Fourier transform of the band-limited ramp (Kak & Slaney 1988, eq. 61), windowed, for twice the detectors at least."""
    n = 2 ** math.ceil(math.log2(2 * detectors))
    at = torch.minimum(torch.arange(n), n - torch.arange(n)).double()
    ramp = torch.where(at % 2 == 1, -1 / (math.pi * at.clamp(min=1)) ** 2, torch.zeros_like(at))
    ramp[0] = 0.25
    return (torch.fft.rfft(ramp).real * _WINDOWS[window](torch.arange(n // 2 + 1).double() / n) / spacing).to(like)


def _filter(y: Tensor, response: Tensor) -> Tensor:
    n = 2 * (len(response) - 1)
    return torch.fft.irfft(torch.fft.rfft(y, n=n) * response, n=n)[..., : y.shape[-1]] if len(y) else y
