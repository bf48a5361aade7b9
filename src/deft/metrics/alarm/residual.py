"""What the samples of one measurement leave unexplained, each number a score of one mismatch.

Let theta change how y came to be (a larger sigma_y, a wider kernel, a shift), with theta = 0 as
told. The most powerful test of a small theta is the score, and by Fisher's identity

    d/dtheta log p(y) = E[ d/dtheta log p(y | x_0) | y ]

it is an average over samples of the posterior: no network is asked. With r = y - A x_0, its average
r_bar over the samples, and p = y - r_bar, for y = A x_0 + theta B A x_0 + noise,

    sigma_y larger            E[ ||r||^2 | y ] - m sigma_y^2          misfit; shared
    noise not white           E[ <r, T r> | y ],  T a shift by one    colour
    the operator another one  E[ <r, B A x_0> | y ]                   gain (B = 1), blur (B a second
                                                                      difference), shift (a first)

For a Gaussian prior with the eigenvalues l_j of A C A^T and f_j = sigma_y^2 / (l_j + sigma_y^2), a
sample has E ||r||^2 = m sigma_y^2 as told, and m sigma_y^2 + 3 sigma_y^2 sum f_j^2 where the noise
is twice as large: only directions that the prior knows better than the noise (f_j near 1) tell. Of
||r||^2 the share 1 - f_j is fresh noise of the sample; `shared`, the mean of <r_j, r_k> over pairs
of samples, is without it, and its variance smaller by up to the number of samples.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deft.likelihoods import Observation
from deft.types import Signal

_TINY = 1e-12

NAMES = (
    "misfit",
    "shared",
    "tails",
    "colour across",
    "colour down",
    "offset",
    "gain",
    "blur",
    "blur across",
    "blur down",
    "shift across",
    "shift down",
)
"""The statistics of a residual, in the order of `residual_statistics`."""


def residual_statistics(samples: Signal, observation: Observation) -> Tensor:
    """The statistics `NAMES` of one measurement, in double precision; `samples` (count, *signal)
    are all of that one.

    Each is of order one and free of units: residuals are divided by sigma_y, or by what
    `Likelihood.misfit` takes for it. One sample has no pairs, and `shared` is the squared misfit.
    """
    each = observation.take([0] * len(samples))
    r = each.residual(samples)
    misfit = each.likelihood.misfit(samples, each.y).double().square().mean()
    seen = observation.operator.observed(torch.ones_like(observation.y))[0].abs().double()
    r = (torch.view_as_real(r).movedim(-1, 1) if r.is_complex() else r).double()
    y = observation.y
    y = (torch.view_as_real(y).movedim(-1, 1) if y.is_complex() else y)[0].double()
    seen = (seen > 0).double().expand(r.shape[1:])
    count = seen.sum().clamp(min=1)
    energy = r.flatten(1).square().sum(1).mean()
    unit = (energy / count / misfit.clamp(min=_TINY)).sqrt().clamp(min=_TINY)  # sigma_y
    bar = r.mean(0)
    k = len(r)
    common = bar.square().sum()
    pairs = (k * common - energy) / (k - 1) if k > 1 else energy
    predicted = (y - bar) * seen
    tails = (bar**4).sum() * count / common.square().clamp(min=_TINY**2)
    found = [misfit.clamp(min=_TINY).log(), pairs / count / unit**2, tails.clamp(min=_TINY).log()]
    found += [_colour(bar, common, count, axis) for axis in (-1, -2)]
    found.append((bar * seen).sum() / unit / count.sqrt())
    found.append(_score(bar, predicted, seen, unit))
    found.append(_laplacian(bar, predicted, seen, unit))
    second = torch.tensor([1.0, -2.0, 1.0], dtype=torch.float64)
    first = torch.tensor([-0.5, 0.0, 0.5], dtype=torch.float64)
    for weights in (second, first):
        found += [_local(bar, predicted, seen, unit, weights, axis) for axis in (-1, -2)]
    return torch.stack(found)


def _axis(r: Tensor, axis: int, least: int) -> bool:
    """Whether a measurement has neighbours along an axis: of the last two, the first is channels
    where there are no more.
    """
    return r.ndim >= (1 if axis == -1 else 3) and r.shape[axis] >= least


def _colour(bar: Tensor, common: Tensor, count: Tensor, axis: int) -> Tensor:
    """The correlation of neighbours, times the root of how many there are."""
    if not _axis(bar, axis, 2):
        return bar.new_zeros(())
    n = bar.shape[axis]
    product = bar.narrow(axis, 1, n - 1) * bar.narrow(axis, 0, n - 1)
    return product.sum() / common.clamp(min=_TINY) * count.sqrt()


def _score(bar: Tensor, direction: Tensor, weight: Tensor, unit: Tensor) -> Tensor:
    direction = direction * weight
    found: Tensor = (bar * direction).sum() / unit / direction.norm().clamp(min=_TINY)
    return found


def _laplacian(bar: Tensor, predicted: Tensor, seen: Tensor, unit: Tensor) -> Tensor:
    """The score of a blur that is the same along both axes, where all five places are seen; 0 where
    there is one axis.
    """
    if not (_axis(bar, -1, 3) and _axis(bar, -2, 3)):
        return bar.new_zeros(())
    middle = (slice(1, -1), slice(1, -1))
    near = [(middle[0], slice(2, None)), (middle[0], slice(None, -2))]
    near += [(slice(2, None), middle[1]), (slice(None, -2), middle[1])]
    whole = seen[(..., *middle)].clone()
    direction = -4 * predicted[(..., *middle)]
    for place in near:
        whole = whole * seen[(..., *place)]
        direction = direction + predicted[(..., *place)]
    return _score(bar[(..., *middle)], direction, whole, unit)


def _local(
    bar: Tensor, predicted: Tensor, seen: Tensor, unit: Tensor, weights: Tensor, axis: int
) -> Tensor:
    """The score of a filter of three places along an axis, where all three are seen."""
    if not _axis(bar, axis, 3):
        return bar.new_zeros(())
    n = bar.shape[axis] - 2
    parts = [predicted.narrow(axis, i, n) for i in range(3)]
    whole = torch.ones_like(parts[0])
    for i in range(3):
        whole = whole * seen.narrow(axis, i, n)
    direction = sum((w * part for w, part in zip(weights.to(bar), parts, strict=True)), 0 * whole)
    return _score(bar.narrow(axis, 1, n), direction, whole, unit)
