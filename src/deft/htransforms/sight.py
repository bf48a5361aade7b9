"""What a linear measurement sees of a signal, in words that are the same for every operator.

    F = s^2 A^T (s^2 A A^T + sigma_y^2 I)^{-1} A,    0 <= F <= 1,    s = prior.scale

F is the share that a white Gaussian prior of standard deviation s would learn from y. A network
that has read how F acts on coarse and fine structure need not have met the operator:

    reconstruction   s^2 A^T (s^2 A A^T + sigma_y^2 I)^{-1} (y - A(0)), the Wiener estimate
    seen             c_k(place) = sum z_k F z_k / sum z_k^2 over a window, for octaves k = 0 .. K:
                     z_k = (Q_k - Q_{k+1}) z, with Q_k the means over blocks of 2^k places
                     along each axis, Q_K z the rest, and z fixed draws of white noise
    noise            sigma_y over the root mean square of A's singular values

c_0 is the share of the finest structure that is seen near a place. Block averages by 4 have c = 0
for k < 2 and nearly 1 above; a mask has its own local mean at every k; m random projections of d
entries have m / d everywhere. The blocks at the far ends are continued by their last value.
All are computed once for a measurement, and do not depend on the noise level.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from deft.likelihoods import Observation
from deft.noise import Noise
from deft.operators.base import LinearOperator
from deft.types import Signal, inner

OCTAVES = 4
_PROBES = 2


class Sight(NamedTuple):
    """What is said of a measurement: (batch, *event), (batch, OCTAVES + 1, *space), (batch,)."""

    reconstruction: Signal
    seen: Tensor
    noise: Tensor


def sight(
    observation: Observation,
    operator: LinearOperator,
    event_shape: Sequence[int],
    scale: float,
) -> Sight:
    """What `operator` sees of signals of that shape, kept with the observation."""

    def kept(name: str) -> Tensor:
        return observation.kept(
            f"{name} at {scale:g}",
            lambda: _FEATURES[name](observation, operator, event_shape, scale),
        )

    return Sight(*(kept(name) for name in Sight._fields))


def _reconstruction(
    observation: Observation, operator: LinearOperator, event_shape: Sequence[int], scale: float
) -> Signal:
    zero = torch.zeros(len(observation), *event_shape).to(observation.y)
    r2, s2 = torch.full_like(observation.sigma_y, scale**2), observation.sigma_y**2
    return scale**2 * operator.pull(zero, operator.residual(zero, observation.y), r2, s2)


def _seen(
    observation: Observation, operator: LinearOperator, event_shape: Sequence[int], scale: float
) -> Tensor:
    draws = torch.cat([_draw(k, observation, event_shape) for k in range(_PROBES)])
    octaves = [
        means(draws, 2**k) - (means(draws, 2 ** (k + 1)) if k < OCTAVES else 0)
        for k in range(OCTAVES + 1)
    ]
    n, many = len(observation), _PROBES * len(octaves)
    probes = torch.cat(octaves).repeat(n, *(1 for _ in event_shape))
    each = operator.repeat(many)
    s2 = (observation.sigma_y**2).expand(n).repeat_interleave(many)
    part = scale**2 * each.pull(probes, each.linear(probes), torch.full_like(s2, scale**2), s2)
    above = (probes * part).mean(1).unflatten(0, (n, len(octaves), _PROBES)).sum(2)
    shares = []
    for k, z in enumerate(octaves):
        side = 2 ** (k + 2)
        below = means(z.square().mean(1, keepdim=True), side).sum(0, keepdim=True)
        shares.append(means(above[:, k : k + 1], side) / below.clamp(min=1e-12))
    return torch.cat(shares, dim=1).clamp(0, 1)


def _noise(
    observation: Observation, operator: LinearOperator, event_shape: Sequence[int], scale: float
) -> Tensor:
    z = _draw(0, observation, event_shape).sign().expand(len(observation), *event_shape)
    seen = operator.observed(operator.linear(z))
    gain = (inner(seen, seen) / operator.count(seen).clamp(min=1)).sqrt()
    return observation.sigma_y / gain.clamp(min=torch.finfo(gain.dtype).tiny)


_FEATURES = {"reconstruction": _reconstruction, "seen": _seen, "noise": _noise}


def _draw(k: int, observation: Observation, event_shape: Sequence[int]) -> Signal:
    """White noise, one signal for all measurements."""
    y = observation.y
    return Noise([0], y.device, y.dtype).stream(k).normal(0, tuple(event_shape))


def means(x: Tensor, side: int) -> Tensor:
    """The mean over blocks of `side` places along each axis of space, at every place of the
    block.
    """
    if side == 1:
        return x
    space = x.shape[2:]
    pad = [n for size in reversed(space) for n in (0, -size % side)]
    blocks = F.pad(x, pad, mode="replicate") if any(pad) else x
    for axis in range(2, x.ndim):
        n = blocks.shape[axis] // side
        mean = blocks.unflatten(axis, (n, side)).mean(axis + 1)
        blocks = mean.repeat_interleave(side, dim=axis)
    for axis, size in enumerate(space):
        blocks = blocks.narrow(2 + axis, 0, size)
    return blocks


def log_noise(noise: Tensor) -> Tensor:
    """2 log(noise + 1e-3), as a network reads it."""
    return 2 * (noise + 1e-3).log()
