"""The shift of a Gaussian chain that is told where some residues lie, with bonds that keep their
length.

A chain whose mean is x_0_hat and whose coordinates have the covariance C over residues is told

    y = A x_0 + sigma_y eps,    u_i^T (x_{i+1} - x_i) = |b_i| + tau_i eps'

with A the rows of the motif, b_i the bond of x_0_hat and u_i = b_i / |b_i|. What a mean loses in
length says how well the direction of a bond is known: a unit vector turned by a small angle a,
Gaussian with the variance q in each of two directions, is cos(a) long on its mean, and a^2 / 2 is
exponential with the mean q, so that a bond of 3.8 angstrom has

    3.8 - |b_i| = 3.8 E[a^2 / 2] = 3.8 q,        Var[u_i^T bond] = 3.8^2 Var[a^2 / 2] = (3.8 q)^2

Hence tau_i^2 = tau^2 + (3.8 - |b_i|)^2: bonds bind where the prior has resolved them, and hardly
before. The chain is told of the motif first and of its bonds then,

    b   = C A^T (A C A^T + sigma_y^2 I)^{-1} r,    C' = C - C A^T (A C A^T + sigma_y^2 I)^{-1} A C
    b'  = b - C' B^T (B C' B^T + diag(tau_i^2))^{-1} B b

with r what is left of y and B the rows u_i^T (x_{i+1} - x_i). C' is the same for x, y and z, and so
B C' B^T = (u u^T) * (D C' D^T) entry by entry, D the differences of neighbours: two solves with as
many rows as residues. The covariance of native chains knows nothing of these springs; without them
the residues beside a motif stay behind when the motif is moved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from deft.types import Signal

BOND = 3.8  # angstrom between neighbouring C-alpha atoms
_TAU = 0.05  # angstrom, the deviation of a bond
_SLACK = 1e-4  # of the variance of a residue, added to sigma_y^2 whatever it is

Covariance = Float[Tensor, "batch n n"]


def told(
    covariance: Covariance,
    seen: Float[Tensor, "batch n 1"],
    lacking: Float[Tensor, "batch n 3"],
    sigma_y: Tensor,
) -> tuple[Float[Tensor, "batch n 3"], Covariance]:
    """The shift of a chain (batch, n, 3) that lacks `lacking` (batch, n, 3), angstrom, at the
    residues where `seen` (batch, n, 1) is not 0, and the covariance C' that is left; `sigma_y`
    (batch, 1, 1), angstrom.
    """
    there = seen[..., 0] > 0
    rows = there.long().argsort(dim=1, descending=True, stable=True)
    rows = rows[:, : int(there.sum(1).max())]  # of the motif, and of others in shorter ones
    known = there.gather(1, rows)[..., None]
    n = covariance.shape[-1]
    of_motif = known * covariance.gather(1, rows[..., None].expand(-1, -1, n))  # A C
    G = known.mT * of_motif.gather(2, rows[:, None].expand(-1, rows.shape[1], -1))
    diagonal = covariance.diagonal(dim1=1, dim2=2).gather(1, rows)[..., None]
    own = torch.where(known, sigma_y**2 + _SLACK * diagonal, 1.0)
    gain: Covariance = torch.linalg.solve(G + torch.diag_embed(own[..., 0]), of_motif).mT
    of_rows = lacking.gather(1, rows[..., None].expand(-1, -1, lacking.shape[-1]))
    return gain @ of_rows, covariance - gain @ of_motif


@final
@dataclass(frozen=True)
class Bonds:
    """The bonds of chains, told to keep their length: `keep` is b -> b'."""

    u: Float[Tensor, "batch bonds 3"]
    to: Float[Tensor, "batch n bonds"]  # C' D^T
    factors: tuple[Tensor, Tensor]  # LU, which passes on what is not finite

    @classmethod
    def of(cls, x_0_hat: Signal, exists: Bool[Tensor, "batch n"], covariance: Covariance) -> Bonds:
        """Those between residues that exist, with the covariance C' of their chains."""
        b, both = x_0_hat.diff(dim=1), exists[:, 1:] & exists[:, :-1]
        length = b.norm(dim=-1).clamp(min=1e-3)
        u = torch.where(both[..., None], b / length[..., None], 0.0)
        tau2 = torch.where(both, _TAU**2 + (BOND - length).square(), 1.0)
        to = covariance.diff(dim=2)
        G = (u @ u.mT) * to.diff(dim=1) + torch.diag_embed(tau2)
        return cls(u, to, torch.linalg.lu_factor(G))

    def keep(self, shift: Signal) -> Signal:
        """The shift that is left where the bonds keep their length."""
        longer = (self.u * shift.diff(dim=1)).sum(-1, keepdim=True)
        pull = torch.linalg.lu_solve(*self.factors, longer)
        kept: Signal = shift - self.to @ (self.u * pull)
        return kept
