"""Exponential integration of the probability-flow ODE, in lambda = log(alpha / sigma).

    x_s = (sigma_s / sigma_t) x_t + sigma_s int e^lambda x_0_hat(lambda) dlambda, from lambda_t to
        lambda_s
        = (sigma_s / sigma_t) x_t + alpha_s sum_i w_i x_0_hat_i

The second line takes for x_0_hat the polynomial in lambda through the evaluations i. With u_i =
(lambda_i - lambda_t) / h the weights are those that integrate every power up to the last,

    sum_i w_i u_i^k = M_k,    M_k = h int_0^1 e^{-h (1 - u)} u^k du = k! h phi_{k+1}(-h)
    phi_k(z) = sum_j z^j / (j + k)!

and M_k = 1 - (k / h) M_{k-1} from M_0 = 1 - e^{-h}, which loses digits for a small h: there the
series is summed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from deft.schedules import Schedule
from deft.types import Signal, Times

_SERIES = 20  # terms, for h < 1: the next is below 1e-19


def half_log_snr(schedule: Schedule, t: Times) -> Tensor:
    """lambda_t = log(alpha_t / sigma_t), in double precision where the device has it."""
    return schedule.log_snr(t) / 2


def moments(h: Tensor, count: int) -> Tensor:
    """M_0 to M_{count - 1}, for one positive number h: (count,)."""
    step = h.flatten()[0]
    if bool(step < 1):
        powers = (-step) ** torch.arange(_SERIES, device=h.device)
        terms = [
            [math.factorial(k) / math.factorial(k + j + 1) for j in range(_SERIES)]
            for k in range(count)
        ]
        return step * (torch.tensor(terms, dtype=h.dtype, device=h.device) @ powers)
    found = [-torch.expm1(-step)]
    for k in range(1, count):
        found.append(1 - k / step * found[-1])
    return torch.stack(found)


def weights(h: Tensor, places: Sequence[Tensor]) -> Tensor:
    """w_i of evaluations at the distances `places` from lambda_t, each one number: (places,).

    Exact for x_0_hat a polynomial in lambda of a degree below their number.
    """
    u = torch.stack([(place / h).flatten()[0] for place in places])
    powers = u ** torch.arange(len(places), device=u.device)[:, None]  # u_i^k at (k, i)
    found: Tensor = torch.linalg.solve(powers, moments(h, len(places)))
    return found


def moved(
    schedule: Schedule, x_t: Signal, t: Times, s: Times, w: Tensor, estimates: Sequence[Signal]
) -> Signal:
    """(sigma_s / sigma_t) x_t + alpha_s sum_i w_i x_0_hat_i."""
    keep = (schedule.sigma(s) / schedule.sigma(t)).to(x_t)
    x_s: Signal = keep * x_t
    for gain, x_0_hat in zip((schedule.alpha(s) * w).to(x_t), estimates):
        x_s = x_s + gain * x_0_hat
    return x_s
