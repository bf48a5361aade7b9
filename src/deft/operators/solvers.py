"""Conjugate gradients, each signal of a batch on its own, with a count of what they cost.

    normal(u) = v,    normal symmetric and positive semi-definite

Hestenes & Stiefel 1952.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from deft.types import expand, inner

Map = Callable[[Tensor], Tensor]


@final
@dataclass
class Iterations:
    """How many were taken, over all signals: each applies the map once to one signal."""

    taken: int = 0


_counting: ContextVar[Iterations | None] = ContextVar("_counting", default=None)


@contextmanager
def counted() -> Iterator[Iterations]:
    """Count the iterations of all solves inside."""
    tally = Iterations()
    token = _counting.set(tally)
    try:
        yield tally
    finally:
        _counting.reset(token)


def _count(active: Tensor) -> None:
    tally = _counting.get()
    if tally is not None:
        tally.taken += int(active.sum())


def conjugate_gradients(
    normal: Map,
    v: Tensor,
    iterations: int = 100,
    tolerance: float = 1e-6,
    precondition: Map | None = None,
) -> Tensor:
    """Solve normal(u) = v for a symmetric positive semi-definite map, each signal on its own;
    starts at zero.

    Stops when every residual is below `tolerance` times its right-hand side. A signal that has
    converged stands still, so that it does not depend on its neighbours. `precondition` is an
    approximate inverse of `normal`, symmetric and positive too; the identity by default.
    """
    precondition = precondition or (lambda r: r)
    u, residual = torch.zeros_like(v), v.clone()
    direction = precondition(residual)
    size, length = inner(residual, direction), inner(residual, residual)
    goal = tolerance**2 * length
    for _ in range(iterations):
        active = length > goal
        if not bool(active.any()):
            break
        image = normal(direction)
        curvature = inner(direction, image)
        active = active & (curvature > 0)
        _count(active)
        step = torch.where(
            active,
            size / torch.where(active, curvature, torch.ones_like(curvature)),
            torch.zeros_like(size),
        )
        u = u + expand(step, u) * direction
        residual = residual - expand(step, u) * image
        smoothed = precondition(residual)
        fresh = inner(residual, smoothed)
        turn = torch.where(
            active, fresh / torch.where(active, size, torch.ones_like(size)), torch.zeros_like(size)
        )
        direction = torch.where(
            expand(active, u), smoothed + expand(turn, u) * direction, direction
        )
        size, length = (
            fresh,
            torch.where(active, inner(residual, residual), torch.zeros_like(length)),
        )
    return u
