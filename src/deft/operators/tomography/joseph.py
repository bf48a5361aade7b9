"""The matrix of a scan, by Joseph's rule, and products with it and with its transpose.

Each ray is integrated with one step per row of pixels, or per column where the ray runs more along
the rows, with linear interpolation between the two nearest pixels (Joseph 1982,
doi:10.1109/TMI.1982.4307572). The weights are the entries of a sparse matrix, kept with its
transpose, so that the adjoint is exact; images beyond 512 x 512 compute them anew in every product,
and the adjoint is as exact.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from deft.operators.tomography.geometry import Geometry

LARGEST_STORED = 512
MOST_ENTRIES = 1 << 26  # of one matrix: with its transpose 1 GiB in single precision
_MOST_BYTES = (
    1 << 29
)  # of all matrices of single views that are kept for the next product, and of all scans
_CHUNK = 1 << 21  # entries that are computed at a time


class _Stored(NamedTuple):
    """A and its transpose, as sparse matrices (compressed rows)."""

    matrix: Tensor
    transpose: Tensor

    def times(self, x: Tensor, transposed: bool) -> Tensor:
        """A x, or A^T x, for the columns of x."""
        return (self.transpose if transposed else self.matrix) @ x

    def bytes(self) -> int:
        return sum(
            t.values().nbytes + t.col_indices().nbytes + t.crow_indices().nbytes for t in self
        )


class OnTheFly(NamedTuple):
    """A and its transpose, computed anew in every product."""

    geometry: Geometry
    angles: tuple[float, ...]
    dtype: torch.dtype
    device: torch.device

    def times(self, x: Tensor, transposed: bool) -> Tensor:
        x, rays = x.mT.contiguous(), self.geometry.detectors * len(self.angles)
        result = x.new_zeros(
            len(x), self.geometry.height * self.geometry.width if transposed else rays
        )
        for rays_of, index, weight in _pieces(self.geometry, self.angles, self.device, x.dtype):
            index, weight = index.flatten(), weight.flatten(1)
            if transposed:
                each = (x[:, rays_of, None] * weight).flatten(1)
                result.scatter_add_(1, index.expand(len(x), -1), each)
            else:
                result[:, rays_of] = (
                    x.index_select(1, index).unflatten(1, weight.shape) * weight
                ).sum(2)
        return result.mT


Matrix = _Stored | OnTheFly


class Block(NamedTuple):
    """The matrix of some views, the signals that have them, and where these views are among
    (signals x views).
    """

    matrix: Matrix
    signals: Tensor
    entries: Tensor


class _Product(torch.autograd.Function):
    """x -> A x, whose derivative is A^T, whose derivative is A: as often as one likes."""

    @staticmethod
    def forward(matrix: Matrix, x: Tensor, transposed: bool) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):  # sparse matrices have no half precision
            return matrix.times(x, transposed)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.matrix, _, ctx.transposed = inputs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, None]:
        return None, _Product.apply(ctx.matrix, gradient, not ctx.transposed), None  # type: ignore[no-untyped-call]


def times(matrix: Matrix, x: Tensor, transposed: bool) -> Tensor:
    """A or A^T applied to the last axis: (batch, channels, n) -> (batch, channels, m)."""
    columns = x.flatten(0, 1).mT.contiguous()
    result: Tensor = _Product.apply(matrix, columns, transposed).mT.reshape(*x.shape[:2], -1)  # type: ignore[no-untyped-call]
    return result


def _pieces(
    geometry: Geometry, angles: Sequence[float], device: torch.device, dtype: torch.dtype
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """The rays some at a time: which they are, the pixels that they cross, and the weights, both
    (rays, steps, 2).
    """
    points, directions = geometry.rays(
        torch.tensor(angles, dtype=torch.float64, device=device).deg2rad()
    )
    points, directions = points.flatten(0, 1), directions.flatten(0, 1)
    count = max(1, _CHUNK // (2 * max(geometry.height, geometry.width)))
    for first in range(0, len(points), count):
        some = slice(first, first + count)
        yield some, *geometry.crossings(points[some], directions[some], dtype)


def blocks(geometry: Geometry, angles: Tensor, like: Tensor, keep: bool) -> list[Block]:
    """The matrix of each set of `angles` with the signals that have it; of each angle, where
    matrices of all sets would not fit.
    """
    sets, count = angles.double().cpu(), len(like)
    if len(sets) > 1:
        sets, which = sets.unique(dim=0, return_inverse=True)
    else:
        which = torch.zeros(count, dtype=torch.long)
    make = _matrix_of if keep else OnTheFly
    views, size = sets.shape[1], 4 + like.element_size()
    found = []
    if (
        len(sets) == 1
        or not keep
        or 2 * size * len(sets) * views * geometry.entries_per_view() <= _MOST_BYTES
    ):
        for k, each in enumerate(sets.tolist()):
            signals = (which == k).nonzero()[:, 0]
            entries = (signals[:, None] * views + torch.arange(views)).flatten()
            found.append(
                Block(
                    make(geometry, tuple(each), like.dtype, like.device),
                    signals.to(like.device),
                    entries.to(like.device),
                )
            )
        return found
    values, where = sets[which].unique(return_inverse=True)
    entries_of = (
        where.flatten()
        .argsort(stable=True)
        .split(where.flatten().bincount(minlength=len(values)).tolist())
    )
    for angle, entries in zip(values.tolist(), entries_of, strict=True):
        matrix = make(geometry, (angle,), like.dtype, like.device)
        found.append(Block(matrix, (entries // views).to(like.device), entries.to(like.device)))
    return found


_VIEWS: OrderedDict[tuple[object, ...], _Stored] = OrderedDict()
_SCANS: OrderedDict[tuple[object, ...], _Stored] = OrderedDict()


def _matrix_of(
    geometry: Geometry, angles: tuple[float, ...], dtype: torch.dtype, device: torch.device
) -> _Stored:
    """The matrix of these views, kept from the last time if it was used lately."""
    key, kept = (geometry, angles, dtype, device), _VIEWS if len(angles) == 1 else _SCANS
    if key not in kept:
        with torch.inference_mode(False), torch.no_grad():
            if len(angles) == 1:
                kept[key] = _Stored(
                    *(matrix.to(device) for matrix in _built(geometry, angles, dtype))
                )
            else:
                kept[key] = _joined(
                    [_matrix_of(geometry, (angle,), dtype, device) for angle in angles]
                )
        total = sum(matrix.bytes() for matrix in kept.values())
        while total > _MOST_BYTES and len(kept) > 1:
            total -= kept.popitem(last=False)[1].bytes()
    kept.move_to_end(key)
    return kept[key]


def _built(geometry: Geometry, angles: tuple[float, ...], dtype: torch.dtype) -> _Stored:
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
        _compressed(
            _starts(column.bincount(minlength=pixels)),
            ray[order],
            value[order],
            (pixels, len(per_ray)),
        ),
    )


def _joined(views: Sequence[_Stored]) -> _Stored:
    """The matrix of several views, one below the other, and its transpose, one beside the other."""
    rays, pixels = views[0].matrix.shape
    columns = torch.cat([view.matrix.col_indices() for view in views])
    starts = _starts(torch.cat([view.matrix.crow_indices().diff() for view in views]))
    matrix = _compressed(
        starts,
        columns,
        torch.cat([view.matrix.values() for view in views]),
        (rays * len(views), pixels),
    )
    per_pixel = [view.transpose.crow_indices().diff() for view in views]
    starts = _starts(torch.stack(per_pixel).sum(0))
    ray, value = torch.empty_like(columns), torch.empty_like(matrix.values())
    begin = starts[:-1].long()
    for k, (view, counts) in enumerate(zip(views, per_pixel, strict=True)):
        first = begin - view.transpose.crow_indices()[:-1]
        place = first.repeat_interleave(counts) + torch.arange(
            len(view.transpose.values()), device=first.device
        )
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
