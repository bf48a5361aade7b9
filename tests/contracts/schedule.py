"""What every noise schedule keeps to."""

from __future__ import annotations

from abc import ABC, abstractmethod

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deft.schedules import Schedule


class ScheduleContract(ABC):
    """A test class says `schedule()`."""

    @abstractmethod
    def schedule(self) -> Schedule: ...

    def test_log_snr_falls_and_is_finite_at_both_ends(self):
        log_snr = self.schedule().log_snr(torch.linspace(0, 1, 501, dtype=torch.float64))
        assert bool(log_snr.isfinite().all())
        assert bool((log_snr.diff() < 0).all())

    def test_log_snr_is_that_of_alpha_and_sigma(self):
        schedule, t = self.schedule(), torch.linspace(0, 1, 51, dtype=torch.float64)
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        assert bool((alpha > 0).all())
        assert bool((sigma > 0).all())
        torch.testing.assert_close(
            2 * (alpha.log() - sigma.log()), schedule.log_snr(t), rtol=0, atol=1e-9
        )

    @given(t=st.floats(0, 1))
    @settings(max_examples=50, suppress_health_check=[HealthCheck.differing_executors])
    def test_time_inverts_log_snr(self, t):
        schedule, t = self.schedule(), torch.tensor([t], dtype=torch.float64)
        # cancellation near the noise end: log-SNRs there are differences of numbers of order one
        torch.testing.assert_close(schedule.time(schedule.log_snr(t)), t, rtol=0, atol=1e-7)

    def test_time_is_clamped_beyond_the_ends(self):
        schedule = self.schedule()
        low, high = schedule.log_snr_range
        outside = torch.tensor([low - 5, high + 5], dtype=torch.float64)
        torch.testing.assert_close(
            schedule.time(outside), torch.tensor([1.0, 0.0], dtype=torch.float64), rtol=0, atol=1e-7
        )

    @given(t=st.floats(0, 1))
    @settings(max_examples=50, suppress_health_check=[HealthCheck.differing_executors])
    def test_snap_is_idempotent_and_stays_within_the_range(self, t):
        schedule, t = self.schedule(), torch.tensor([t], dtype=torch.float64)
        snapped = schedule.snap(t)
        assert 0 <= snapped.item() <= 1
        torch.testing.assert_close(schedule.snap(snapped), snapped, rtol=0, atol=1e-12)

    def test_the_ends_are_snapped_to_themselves(self):
        ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
        torch.testing.assert_close(self.schedule().snap(ends), ends, rtol=0, atol=1e-12)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_precision_and_shape_follow_the_times(self, dtype):
        t = torch.linspace(0, 1, 7, dtype=dtype)
        schedule = self.schedule()
        for value in (
            schedule.alpha(t),
            schedule.sigma(t),
            schedule.log_snr(t),
            schedule.snap(t),
            schedule.time(schedule.log_snr(t)),
        ):
            assert value.dtype == dtype
            assert value.shape == t.shape
