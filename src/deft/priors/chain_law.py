"""Gaussian laws of chains whose three coordinates are alike, and what measured residues make of
them.

    x_0 ~ N(m, S (x) I_3),    S = U diag(v) U^T over the residues of a chain
    E[x_0 | x_t] = m + U diag(alpha_t v / (alpha_t^2 v + sigma_t^2)) U^T (x_t - alpha_t m)

Given y = B x_0 + sigma_y eps, with the same B for each coordinate (chosen residues: a motif in a
fixed frame),

    G = B S B^T + sigma_y^2 I,    m' = m + S B^T G^+ (y - B m),    S' = S - S B^T G^+ B S

so that a posterior is such a law again, and costs matrices over residues, not over coordinates.
Axes of U that are not `alive` (the centre of a centred chain, places without a residue) have v = 0
and belong to no density.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from deft.types import LogProb, Signal, as_index

_RANK = 1e-12


@final
@dataclass(frozen=True)
class ChainLaw:
    """N(m, S (x) I_3) of n chains, or of one that stands for all, in double precision."""

    mean: Float[Tensor, "n places 3"]
    axes: Float[Tensor, "n places axes"]
    variances: Float[Tensor, "n axes"]
    alive: Bool[Tensor, "n axes"]

    def __len__(self) -> int:
        return len(self.mean)

    def take(self, index: Sequence[int] | Tensor) -> ChainLaw:
        """The laws of the chains `index`."""
        if len(self) == 1:
            return self
        i = as_index(index).to(self.mean.device)
        return ChainLaw(self.mean[i], self.axes[i], self.variances[i], self.alive[i])

    def packed(self) -> Float[Tensor, "n rows places"]:
        """All of it as one tensor with a row for each chain, as `of` takes it."""
        more = (self.variances[:, None], self.alive[:, None].to(self.variances))
        return torch.cat([self.mean.mT, self.axes, *more], dim=1)

    @classmethod
    def of(cls, packed: Float[Tensor, "n rows places"]) -> ChainLaw:
        """The laws of `packed`."""
        return cls(packed[:, :3].mT, packed[:, 3:-2], packed[:, -2], packed[:, -1] > 0)

    @property
    def covariance(self) -> Float[Tensor, "n places places"]:
        """S, the covariance of one coordinate, in square angstrom."""
        return (self.axes * self.variances[:, None]) @ self.axes.mT

    def denoise(self, x_t: Signal, alpha_t: Tensor, sigma_t: Tensor) -> Signal:
        """E[x_0 | x_t], in the precision of x_t; the levels broadcast against it."""
        mean, axes, v = (a.to(x_t) for a in (self.mean, self.axes, self.variances[..., None]))
        gain = alpha_t * v / (alpha_t**2 * v + sigma_t**2)
        return mean + _turned(axes, gain * _turned(axes.mT, x_t - alpha_t * mean))

    def log_prob(self, x_t: Signal, alpha_t: Tensor, sigma_t: Tensor) -> LogProb:
        """log p_t(x_t), in double precision, of the axes that are alive."""
        v, alpha_t, sigma_t = self.variances[..., None], alpha_t.double(), sigma_t.double()
        z = _turned(self.axes.mT, x_t.double() - alpha_t * self.mean)
        total = alpha_t**2 * v + sigma_t**2
        each = z.square() / total + total.log() + math.log(2 * math.pi)
        return -0.5 * torch.where(self.alive[..., None], each, 0.0).sum((1, 2))

    def sample(self, z: Signal) -> Signal:
        """m + S^(1/2) z, a draw where z is white noise; in the precision of z."""
        mean, axes, v = (a.to(z) for a in (self.mean, self.axes, self.variances[..., None]))
        return mean + _turned(axes, v.sqrt() * _turned(axes.mT, z))

    def given(
        self,
        rows: Float[Tensor, "#n m places"],
        y: Float[Tensor, "n m 3"],
        sigma_y: Float[Tensor, "#n"],
    ) -> tuple[ChainLaw, Float[Tensor, " n"]]:
        """The law of x_0 given y = B x_0 + sigma_y eps, for each y, and log p(y); sigma_y = 0 is
        allowed, where log p(y) is that of what varies.
        """
        rows, y, s2 = rows.double(), y.double(), sigma_y.double()[:, None] ** 2
        seen = rows @ self.axes  # B U
        cross = self.variances[..., None] * seen.mT  # cov(U^T x_0, y)
        values, u = torch.linalg.eigh(seen @ cross)
        known = values > _RANK * values.amax(1, keepdim=True)
        total = torch.where(known, values, 0.0) + s2
        regular = total > 0
        inverse = torch.where(regular, 1 / torch.where(regular, total, 1.0), 0.0)
        innovation = u.mT @ (y - rows @ self.mean)
        gain = cross @ u
        moved = self.mean + self.axes @ (gain @ (inverse[..., None] * innovation))
        inner = torch.diag_embed(self.variances) - (gain * inverse[:, None]) @ gain.mT
        log_total = torch.where(regular, total, 1.0).log() + math.log(2 * math.pi)
        log_y = -0.5 * (
            inverse * innovation.square().sum(2) + 3 * torch.where(regular, log_total, 0.0)
        ).sum(1)
        return self._decomposed(moved, inner), log_y

    def _decomposed(
        self, mean: Float[Tensor, "n places 3"], inner: Float[Tensor, "#n axes axes"]
    ) -> ChainLaw:
        """The law whose covariance in these axes is `inner`; axes that are not alive stay apart."""
        dead = torch.diag_embed((~self.alive).double() * -self.variances.amax().clamp(min=1.0))
        values, turn = torch.linalg.eigh((inner + inner.mT) / 2 + dead)
        still = (~self.alive).sum(1, keepdim=True)  # which come first, in rising order
        alive = torch.arange(values.shape[1], device=values.device) >= still
        variances = torch.where(alive, values.clamp(min=0), 0.0)
        n = len(mean)
        axes, variances, alive = (
            part.expand(n, *part.shape[1:]) for part in (self.axes @ turn, variances, alive)
        )
        return ChainLaw(mean, axes, variances, alive)


def _turned(
    axes: Float[Tensor, "#n rows columns"], x: Float[Tensor, "#n columns 3"]
) -> Float[Tensor, "n rows 3"]:
    """axes @ x for each chain; one large product where one chain's axes serve all."""
    if len(axes) > 1:
        return axes @ x
    return (x.mT.reshape(-1, x.shape[1]) @ axes[0].mT).reshape(len(x), 3, -1).mT
