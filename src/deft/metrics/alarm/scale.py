"""How far one row of a table stands from the others, and how far each of those from its others.

    e_(i)  the residual of row i by the regression of the others on the design (1, log sigma_y, ...)
    D_i^2 = e_(i)^T S_(i)^{-1} e_(i) (1 - h_i) = (n - p - 1) q_i / (1 - q_i)
    q_i   = e_i^T (E^T E)^{-1} e_i / (1 - h_i)

with E the residuals of all n rows, p columns of the design and h_i the leverage of row i: each row
is judged by the others alone (an externally studentised residual, in d dimensions), and no row is
fitted n times. D^2 / d is brought to a common scale by the cube root of Wilson and Hilferty (1931),

    z = ((D^2 / d)^{1/3} - 1 + 2 / (9 d)) / sqrt(2 / (9 d))

standard normal for Gaussian rows, whatever d is. z depends on row i and the set of the others, so
that exchangeable rows have exchangeable z, Gaussian or not.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_RIDGE, _NEARLY_ONE, _NOTHING = 1e-9, 1 - 1e-12, 1e-18


def residuals(rows: Tensor, design: Tensor) -> tuple[Tensor, Tensor]:
    """Residuals of the regression of rows (n, columns) on a design (n, p), and 1 - leverage; those
    of a constant column are 0.
    """
    q, _ = torch.linalg.qr(design)
    e = rows - q @ (q.T @ rows)
    e = torch.where(e.square().sum(0) > _NOTHING, e, torch.zeros_like(e))
    return e, (1 - q.square().sum(1)).clamp(min=1e-6)


def studentised(rows: Tensor, design: Tensor) -> Tensor:
    """The externally studentised residual of every entry, with its sign: (n, columns); 0 where a
    column is constant.
    """
    e, free = residuals(rows, design)
    q = e.square() / (_energy(e) * free[:, None])
    degrees = max(len(rows) - design.shape[1] - 1, 1)
    q = q.clamp(max=_NEARLY_ONE)
    return e.sign() * (degrees * q / (1 - q)).sqrt()


def strangeness(rows: Tensor, design: Tensor, groups: Sequence[Sequence[int]]) -> Tensor:
    """z of every row for each group of columns: (n, groups)."""
    e, free = residuals(rows, design)
    scale = _energy(e).sqrt()
    degrees = max(len(rows) - design.shape[1] - 1, 1)
    found = []
    for group in groups:
        columns = list(group)
        u = e[:, columns] / scale[columns]
        gram = u.T @ u + _RIDGE * torch.eye(len(columns), dtype=u.dtype)
        q = (u * torch.linalg.solve(gram, u.T).T).sum(1) / free
        q = q.clamp(0, _NEARLY_ONE)
        d = len(columns)
        share = degrees * q / (1 - q) / d
        found.append((share ** (1 / 3) - 1 + 2 / (9 * d)) / (2 / (9 * d)) ** 0.5)
    return torch.stack(found, dim=1)


def _energy(e: Tensor) -> Tensor:
    """The sum of squares of each column; 1 where a column is constant."""
    energy = e.square().sum(0)
    return torch.where(energy > _NOTHING, energy, torch.ones_like(energy))
