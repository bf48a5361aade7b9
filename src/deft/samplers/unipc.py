"""UniPC: a predictor and a corrector of the probability-flow ODE that share their evaluations.

    predict   x_s  from x_0_hat at t and at the order - 1 times before it
    correct   x_s  from the same and x_0_hat(x_s), which is the next step's own evaluation

Both are exponential integrators (deft.samplers.exponential), from the corrected x_t.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, final, get_args

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.noise import Noise
from deft.priors.base import Prior
from deft.samplers.arguments import at_least_one, order_of
from deft.samplers.base import Sampler
from deft.samplers.exponential import half_log_snr, moved, weights
from deft.samplers.grids import TimeGrid, UniformLogSNR
from deft.schedules import Schedule
from deft.steps import State
from deft.types import Signal, Times

Variant = Literal["exact", "bh1", "bh2"]


@final
class UniPC(Sampler):
    """UniPC of order 1, 2 or 3, with data prediction: one evaluation a step.

    Zhao et al. 2023, arXiv:2302.04867, Algorithms 5 to 8. A step with two estimates is

        x_s = (sigma_s / sigma_t) x_t + alpha_s ((1 - e^{-h}) x_0_hat_t + B (x_0_hat_i -
            x_0_hat_t) / (2 u_i)),    u_i = (lambda_i - lambda_t) / h

    with B = h (`variant` "bh1") or 1 - e^{-h} ("bh2", the default); "exact" integrates the line
    through both. With more estimates the paper's equations determine the weights, which are those
    of the exact integral whatever B is. The order rises from 1 over the first steps and falls to 2
    in the last; the last evaluation is returned as it is, so that nothing is corrected by it. The
    default grid is uniform in log-SNR. With 5 to 8 steps of a conditioned flow the third order
    overshoots; the second is the default.
    """

    def __init__(
        self,
        steps: int,
        grid: TimeGrid | None = None,
        order: int = 2,
        variant: Variant = "bh2",
    ) -> None:
        self.steps, self.grid = at_least_one(steps), grid or UniformLogSNR()
        self.order = order_of(order)
        if variant not in (known := get_args(Variant)):
            raise InvalidInput("variant", given=variant, expected=" or ".join(map(repr, known)))
        self.variant: Variant = variant

    def step(self, prior: Prior, state: State, s: Times, noise: Noise) -> State:
        schedule, t, x_t = prior.schedule, state.t, state.x_t
        x_0_hat = prior.denoise(x_t, t)
        if state.memory:
            x_r, *before = state.memory
            order = self._order(state.step - 1)
            x_t = self._moved(schedule, x_r, t, [*before[:2], x_0_hat, t, *before[2 : 2 * order]])
        known = (x_0_hat, t, *state.memory[1 : 2 * self.order - 1])
        x_s = self._moved(schedule, x_t, s, known[: 2 * self._order(state.step)])
        return State(x_s, s, state.step + 1, (x_t, *known))

    def _order(self, step: int) -> int:
        """The order of a step, counted from 0."""
        return min(self.order, step + 1, self.steps - step)

    def _moved(self, schedule: Schedule, x_t: Signal, s: Times, known: Sequence[Tensor]) -> Signal:
        """From the time of the first estimate to s; `known` are estimates, each with its time."""
        estimates, times = known[::2], known[1::2]
        now, to = half_log_snr(schedule, times[0]), half_log_snr(schedule, s)
        h, places = to - now, [half_log_snr(schedule, r) - now for r in times]
        if len(places) == 2 and self.variant != "exact":
            whole = -torch.expm1(-h)
            change = (h if self.variant == "bh1" else whole) * h / (2 * places[1])
            w = torch.cat([whole - change, change])
        else:
            w = weights(h, places)
        return moved(schedule, x_t, times[0], s, w, estimates)
