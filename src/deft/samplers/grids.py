"""Where a sampler asks the prior: 1 = t_1 > t_2 > ... > t_N; the last step returns
x_0_hat(x_{t_N}).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.schedules import Schedule


class TimeGrid(ABC):
    """Where a sampler asks the prior."""

    @abstractmethod
    def positions(self, schedule: Schedule, steps: int) -> Tensor:
        """`steps` falling times in [0, 1], the first of them 1, before they are snapped to times
        that the network knows.
        """

    def times(self, schedule: Schedule, steps: int) -> Float[Tensor, " steps"]:
        """The grid: falling times that the network knows, in double precision; those that fall on
        the same one move apart, towards the noise.
        """
        grid = schedule.snap(self.positions(schedule, steps))
        if bool((grid.diff() < 0).all()):
            return grid
        known = schedule.snap(torch.linspace(0, 1, 20_001, dtype=torch.float64)).unique().flip(0)
        place = (known[:, None] - grid).abs().argmin(0)
        for k in range(steps - 2, -1, -1):
            place[k] = min(int(place[k]), int(place[k + 1]) - 1)
        if place[0] < 0:
            raise InvalidInput(
                f"{type(schedule).__name__} has fewer than the {steps} distinct times that "
                f"{type(self).__name__} asks for; ask for fewer steps."
            )
        result: Float[Tensor, " steps"] = known[place]
        return result


@final
class UniformTime(TimeGrid):
    """t_k = 1 - (k - 1) / N: the last evaluation is at t = 1 / N, as is usual for DDPM tables."""

    def positions(self, schedule: Schedule, steps: int) -> Tensor:
        return 1 - torch.arange(steps, dtype=torch.float64) / steps


@final
class UniformLogSNR(TimeGrid):
    """Even steps in log-SNR between the noise end and `high`; `high` is cut to what the schedule
    reaches.

    The last step returns the mean of what is left, so samples lack the spread below exp(-high / 2),
    0.011 of the signal's unit. With the exact h on a mixture of small images, sigma_y = 0.05 and 20
    steps of DPMSolver, `high` = 6, 8, 9 give a misfit of 0.71, 0.94, 0.98.
    """

    def __init__(self, high: float = 9.0, low: float | None = None) -> None:
        self.high = checks.finite("high", high, "the log-SNR of the last evaluation")
        self.low = (
            None
            if low is None
            else checks.finite("low", low, "the log-SNR after the first evaluation")
        )
        if self.low is not None:
            checks.finite_range(
                "low, high", (self.low, self.high), "log-SNRs, from noise to signal"
            )

    def positions(self, schedule: Schedule, steps: int) -> Tensor:
        start, end = schedule.log_snr_range
        if self.high <= start:
            raise InvalidInput(
                "high",
                given=self.high,
                expected=f"a log-SNR above {start:.4g}, the noise end of {type(schedule).__name__}",
            )
        low = start if self.low is None else max(self.low, start)
        grid = schedule.time(torch.linspace(low, min(self.high, end), steps, dtype=torch.float64))
        grid[0] = 1.0
        return grid


@final
class LogSNRCurve(TimeGrid):
    """A curve through log-SNRs, as `tune_grid` learns it (deft.studies.tune_grid).

    `values` are the log-SNRs of the evaluations after the first, which is at the noise end; with
    another number of steps the straight lines between the noise end and them are followed at even
    shares. Values beyond what the schedule reaches are cut to it.
    """

    def __init__(self, values: Sequence[float]) -> None:
        expected = "rising log-SNRs, one for each evaluation after the first"
        if isinstance(values, str) or not isinstance(values, Sequence) or not len(values):
            raise InvalidInput("values", given=values, expected=expected)
        self.values = tuple(checks.finite("values", v, "a log-SNR") for v in values)
        if any(b <= a for a, b in zip(self.values, self.values[1:])):
            raise InvalidInput("values", given=list(self.values), expected=expected)

    def positions(self, schedule: Schedule, steps: int) -> Tensor:
        start, end = schedule.log_snr_range
        if self.values[0] <= start:
            raise InvalidInput(
                "values",
                given=self.values[0],
                expected=f"log-SNRs above {start:.4g}, the noise end of {type(schedule).__name__}",
            )
        curve = torch.tensor([start, *self.values], dtype=torch.float64)
        place = torch.linspace(0, len(self.values), steps, dtype=torch.float64)
        low = place.long().clamp(max=len(self.values) - 1)
        grid = schedule.time(torch.lerp(curve[low], curve[low + 1], place - low).clamp(max=end))
        grid[0] = 1.0
        return grid


@final
class Karras(TimeGrid):
    """v_k = (high^(1/rho) + (k - 1) / (N - 1) (low^(1/rho) - high^(1/rho)))^rho, v = sigma / alpha.

    Karras et al. 2022, arXiv:2206.00364, eq. 5, for any schedule; both ends are cut to what it
    reaches, and the first time is 1. A larger `rho` asks more often where the noise is low; `low` =
    0.011 ends where `UniformLogSNR` does.
    """

    def __init__(self, low: float = 0.1, high: float = 100.0, rho: float = 7.0) -> None:
        checks.positive("low", low, "the smallest sigma / alpha")
        self.low, self.high = checks.finite_range(
            "low, high", (low, high), "of sigma / alpha, low < high"
        )
        self.rho = checks.at_least("rho", rho, 1, "how much denser steps are at low noise")

    def positions(self, schedule: Schedule, steps: int) -> Tensor:
        start, end = schedule.log_snr_range
        ends = torch.tensor([start, end], dtype=torch.float64).div(-2).exp()  # of v
        high, low = min(self.high, float(ends[0])), max(self.low, float(ends[1]))
        if low >= high:
            raise InvalidInput(
                "low",
                given=self.low,
                expected=f"a sigma / alpha below {high:.4g}, where the grid begins",
            )
        highest = torch.tensor([high], dtype=torch.float64)
        grid = schedule.time(-2 * falling(highest, low, steps, self.rho).log())
        grid[:1] = 1.0
        return grid


def falling(high: Tensor, low: float, count: int, rho: float = 7.0) -> Tensor:
    """`count` noise levels from `high` (1,) to `low`, evenly spaced in their rho-th root."""
    part = torch.linspace(0, 1, count, dtype=high.dtype, device=high.device)
    result: Tensor = (high ** (1 / rho) + part * (low ** (1 / rho) - high ** (1 / rho))) ** rho
    return result
