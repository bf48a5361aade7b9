"""Which pairs of residues a network on chains sees: all of them, or the nearest.

A layer computes, for every residue i, sums over others j of what the pair (i, j) says. Of all pairs
there are n^2; of the k residues that are nearest in space there are n k. So that nothing jumps when
the k-th neighbour changes, a pair counts with

    w_ij = 1 - (d_ij / e_i)^4

where e_i is the distance of the residue that is just no neighbour any more: what leaves the
neighbourhood counts nothing by then, and sums are continuous in the positions. In a softmax log w
is added to the score.

Pairs of a batch are (batch, n, k), k = n where all are seen.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from deft.networks.frames import between, exact, radial

_CLOSED = -1e4


class Pairs(ABC):
    """Pairs (i, j) of residues; `weight` (batch, n, k) says how much each counts, 0 where j does
    not exist.
    """

    weight: Tensor

    @property
    def bias(self) -> Float[Tensor, "batch 1 n k"]:
        """What is added to the scores of a softmax over j."""
        return (self.weight.clamp(min=1e-6).log() + _CLOSED * (self.weight == 0))[:, None]

    @abstractmethod
    def other(self, x: Tensor) -> Tensor:
        """x_j of values (batch, n, ...): broadcasts to (batch, n, k, ...)."""

    @abstractmethod
    def apart(self) -> Tensor:
        """j - i: broadcasts to (batch, n, k)."""

    @abstractmethod
    def scores(self, q: Tensor, k: Tensor) -> Tensor:
        """q_i^T k_j of (batch, heads, n, c), as (batch, heads, n, k)."""

    @abstractmethod
    def sums(self, s: Tensor, x: Tensor) -> Tensor:
        """sum_j s_ij x_j of s (batch, heads, n, k) and x (batch, heads or 1, n, c)."""

    @abstractmethod
    def between(self, p: Tensor, axes: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
        """Distances (batch, n, k) and the invariants of `deft.networks.frames.between`."""

    @abstractmethod
    def turned(self, axes: Tensor) -> Tensor:
        """R_i^T R_j, (batch, n, k, 9)."""


@final
class AllPairs(Pairs):
    """Every residue with every other and itself."""

    def __init__(self, mask: Bool[Tensor, "batch n"], like: Tensor) -> None:
        self.weight = mask[:, None].to(like)

    def other(self, x: Tensor) -> Tensor:
        return x[:, None]

    def apart(self) -> Tensor:
        at = torch.arange(self.weight.shape[-1], device=self.weight.device)
        return at - at[:, None]

    def scores(self, q: Tensor, k: Tensor) -> Tensor:
        return q @ k.mT

    def sums(self, s: Tensor, x: Tensor) -> Tensor:
        return s @ x

    def between(self, p: Tensor, axes: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
        return between(p, axes, centres)

    def turned(self, axes: Tensor) -> Tensor:
        b, n = axes.shape[:2]
        found = axes.mT.reshape(b, 3 * n, 3) @ axes.transpose(1, 2).reshape(b, 3, n * 3)
        return found.reshape(b, n, 3, n, 3).transpose(2, 3).flatten(3)


@final
class NearestPairs(Pairs):
    """Every residue with the `nearest` ones in space, itself among them."""

    def __init__(
        self, p: Float[Tensor, "batch n 3"], mask: Bool[Tensor, "batch n"], nearest: int
    ) -> None:
        n = mask.shape[1]
        with torch.no_grad():
            far = torch.cdist(p, p).masked_fill(~mask[:, None], torch.inf)
            found, index = far.topk(min(nearest + 1, n), largest=False)
        there = torch.isfinite(found)
        self._see(index)
        d = ((self.other(p) - p[:, :, None]).square().sum(-1) + 1e-6).sqrt()
        weight = there.to(p)
        if n > nearest:  # the last of them is where the neighbourhood ends
            edge = torch.where(there[..., -1:], d[..., -1:], torch.inf)
            weight = weight * (1 - (d / edge).clamp(max=1.0) ** 4)
        self._see(index[..., :nearest])
        self.weight = weight[..., :nearest]

    def _see(self, index: Tensor) -> None:
        b, n = index.shape[:2]
        self.index = index
        self._flat = (index + n * torch.arange(b, device=index.device)[:, None, None]).flatten()

    def other(self, x: Tensor) -> Tensor:
        flat = x.flatten(0, 1)
        seen = flat.flatten(1).index_select(0, self._flat)
        return seen.reshape(*self.index.shape, *flat.shape[1:])

    def apart(self) -> Tensor:
        return self.index - torch.arange(self.index.shape[1], device=self.index.device)[:, None]

    def scores(self, q: Tensor, k: Tensor) -> Tensor:  # products cost less than what is gathered
        return (q @ k.mT).gather(-1, self._index(q.shape[1]))

    def sums(self, s: Tensor, x: Tensor) -> Tensor:
        n = self.index.shape[1]
        of_all = s.new_zeros(*s.shape[:2], n, n).scatter(-1, self._index(s.shape[1]), s)
        return of_all @ x

    def _index(self, heads: int) -> Tensor:
        return self.index[:, None].expand(-1, heads, -1, -1)

    def between(self, p: Tensor, axes: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
        with exact(p):
            apart = self.other(p) - p[:, :, None]
            d = (apart.square().sum(-1) + 1e-6).sqrt()
            ours = apart @ axes
            theirs = -(apart[..., None] * self.other(axes)).sum(-2)
        sights = [side / (d[..., None] + 1) for side in (ours, theirs)]
        return d, torch.cat([radial(d, centres), *sights], dim=-1)

    def turned(self, axes: Tensor) -> Tensor:
        others = self.other(axes).transpose(2, 3).flatten(3)  # (b, n, 3, 3 k)
        found: Tensor = (axes.mT @ others).unflatten(-1, (self.index.shape[-1], 3))
        return found.transpose(2, 3).flatten(3)
