"""The covariance of a chain's positions, for every length.

    D(k) = E |x_{i+k} - x_i|^2 / 3 = sum_m w_m(n) (1 - phi_m(k))
    S    = -1/2 J D J,    J = I - 1 1^T / n

with phi_m(k) = exp(-k / tau_m), exp(-(k / tau_m)^2) or exp(-k / tau_m) cos(2 pi k / period). All
are positive definite functions and w_m >= 0, so that S is a covariance, of chains with mean zero,
for every length n. One exponential is a chain in a harmonic trap (Rouse 1953 with confinement); a sum
of them is fitted to what chains of each length are.
w_m is linear in n between the lengths at which it is known, and constant beyond.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor, nn

KNOTS = (50.0, 64.0, 80.0, 96.0, 112.0, 128.0)
_EXPONENTIAL = (0.5, 1.0, 2.0, 3.0, 4.5, 7.0, 10.0, 15.0, 24.0, 40.0, 80.0)
_SMOOTH = (1.5, 2.5, 4.0, 6.0, 10.0, 16.0)
_TURNS = tuple((tau, period) for tau in (4.0, 8.0, 16.0, 32.0) for period in (2.2, 3.6, 16.0, 24.0))


def shapes(k: Tensor) -> Tensor:
    """1 - phi_m(k): (...,) -> (..., m)."""
    k = k.double().abs()[..., None]
    tau = torch.tensor(_EXPONENTIAL, dtype=torch.float64, device=k.device)
    smooth = torch.tensor(_SMOOTH, dtype=torch.float64, device=k.device)
    turns = torch.tensor(_TURNS, dtype=torch.float64, device=k.device)
    return 1 - torch.cat(
        [
            torch.exp(-k / tau),
            torch.exp(-((k / smooth) ** 2)),
            torch.exp(-k / turns[:, 0]) * torch.cos(2 * math.pi * k / turns[:, 1]),
        ],
        dim=-1,
    )


NUM_SHAPES = len(_EXPONENTIAL) + len(_SMOOTH) + len(_TURNS)


@final
class ChainCovariance(nn.Module):
    """S = U diag(v) U^T of every length, from the weights w_m at the lengths `KNOTS`, in square
    angstrom.
    """

    weights: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weights", torch.ones(len(KNOTS), NUM_SHAPES))
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}

    def differences(self, length: int) -> Tensor:
        """D(k), k = 0 .. length - 1, in double precision."""
        place = min(max(float(length), KNOTS[0]), KNOTS[-1])
        right = max(next(i for i, knot in enumerate(KNOTS) if knot >= place), 1)
        share = (place - KNOTS[right - 1]) / (KNOTS[right] - KNOTS[right - 1])
        w = torch.lerp(self.weights[right - 1].double(), self.weights[right].double(), share)
        return shapes(torch.arange(length, device=w.device)) @ w

    def eigen(self, length: int) -> tuple[Tensor, Tensor]:
        """v (n,) and U (n, n) in double precision; the first eigenvalue, of the mean, is 0."""
        if length not in self._kept:
            d = self.differences(length)
            at = torch.arange(length, device=d.device)
            D = d[(at - at[:, None]).abs()]
            D = D - D.mean(0) - D.mean(1, keepdim=True) + D.mean()
            v, U = torch.linalg.eigh(-0.5 * D)
            v = v.clamp(min=0.0)
            v[0] = 0.0
            self._kept[length] = (v, U)
        return self._kept[length]

    def padded(self, lengths: Sequence[int], like: Tensor) -> tuple[Tensor, Tensor]:
        """v and U of each length, (batch, n) and (batch, n, n) with zeros after its end, for chains
        `like` (batch, n, ...): in their precision, on their device.
        """
        n = like.shape[1]
        v, U = like.new_zeros(len(lengths), n), like.new_zeros(len(lengths), n, n)
        for row, length in enumerate(lengths):
            own_v, own_U = self.eigen(length)
            v[row, :length], U[row, :length, :length] = own_v.to(v), own_U.to(U)
        return v, U

    @torch.no_grad()
    def fit(self, measured: Mapping[float, Tensor]) -> None:
        """Least squares with w >= 0 of measured D(k) / k^0.7, k = 1, 2, ..., at every knot."""
        for row, knot in enumerate(KNOTS):
            d = measured[knot].double()
            k = torch.arange(1, len(d) + 1)
            weight = k.double() ** -0.7
            self.weights[row] = _nonnegative(shapes(k) * weight[:, None], d * weight).float()
        self._kept.clear()


def _nonnegative(A: Tensor, b: Tensor) -> Tensor:
    """argmin |A w - b| over w >= 0 (Lawson & Hanson 1974, chapter 23)."""
    w = torch.zeros(A.shape[1], dtype=A.dtype)
    free = torch.zeros(A.shape[1], dtype=torch.bool)
    for _ in range(10 * A.shape[1]):
        gain = A.T @ (b - A @ w)
        gain[free] = -math.inf
        if float(gain.max()) < 1e-9 * float(b.norm() * A.norm()):
            break
        free[gain.argmax()] = True
        while True:
            trial = torch.zeros_like(w)
            trial[free] = torch.linalg.lstsq(A[:, free], b, driver="gelsd").solution
            bad = free & (trial <= 0)
            if not bad.any():
                break
            step = (w[bad] / (w[bad] - trial[bad])).min()
            w = w + step * (trial - w)
            free = free & (w > 1e-12)
            w = w * free
        w = trial
    return w
