import math

import pytest
import torch

from deft.errors import InvalidInput
from deft.schedules import EDM, VE, RectifiedFlow, VPCosine, VPLinear, VPTabulated
from tests.contracts.schedule import ScheduleContract


class TestVPLinear(ScheduleContract):
    def schedule(self):
        return VPLinear()

    def test_alpha_is_the_integral_of_beta(self):
        schedule = VPLinear(beta_min=0.1, beta_max=20, t_min=1e-3)
        u = torch.linspace(
            0, schedule.t_min + (1 - schedule.t_min) * 0.4, 100_001, dtype=torch.float64
        )
        integral = torch.trapezoid(0.1 + 19.9 * u, u)
        torch.testing.assert_close(
            schedule.alpha(torch.tensor([0.4], dtype=torch.float64))[0], torch.exp(-0.5 * integral)
        )


class TestVPCosine(ScheduleContract):
    def schedule(self):
        return VPCosine()

    def test_ends(self):
        assert VPCosine(-7, 9).log_snr_range == pytest.approx((-7, 9))


class TestVPTabulated(ScheduleContract):
    def schedule(self):
        return VPTabulated.linear(100, 1e-3, 0.2)

    def test_the_entries_are_the_cumulative_products(self):
        betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
        schedule = VPTabulated(betas.tolist())
        k = torch.tensor([0, 17, 500, 999])
        t = k.double() / 999
        torch.testing.assert_close(
            schedule.alpha(t), (1 - betas).cumprod(0)[k].sqrt(), rtol=1e-10, atol=0
        )
        assert schedule.index(t).tolist() == k.tolist()

    def test_entries_of_zero_snr_are_out_of_range(self):
        schedule = VPTabulated([0.1, 0.5, 1.0])
        assert schedule.num_steps == 3
        assert schedule.index(torch.ones(1)).item() == 1

    def test_it_agrees_with_its_continuous_limit(self):
        t = torch.linspace(0.01, 1, 50, dtype=torch.float64)
        difference = VPTabulated.linear().log_snr(t) - VPLinear().log_snr(t)
        assert (
            float(difference.abs().max()) < 0.12
        )  # the table's first beta stands for a time step of 1 / 1000


class TestVE(ScheduleContract):
    def schedule(self):
        return VE()

    def test_ends(self):
        assert VE(0.02, 50).log_snr_range == pytest.approx((-2 * math.log(50), -2 * math.log(0.02)))


class TestEDM(ScheduleContract):
    def schedule(self):
        return EDM()

    def test_sigma_is_the_papers(self):
        i, n, rho = 3, 18, 7
        sigma = (80 ** (1 / rho) + i / (n - 1) * (0.002 ** (1 / rho) - 80 ** (1 / rho))) ** rho
        assert EDM().sigma(
            torch.tensor([1 - i / (n - 1)], dtype=torch.float64)
        ).item() == pytest.approx(sigma)


class TestRectifiedFlow(ScheduleContract):
    def schedule(self):
        return RectifiedFlow()

    def test_alpha_and_sigma_sum_to_one(self):
        t = torch.linspace(0, 1, 5, dtype=torch.float64)
        torch.testing.assert_close(
            RectifiedFlow().alpha(t) + RectifiedFlow().sigma(t), torch.ones_like(t)
        )


class TestShiftedFlow(ScheduleContract):
    def schedule(self):
        return RectifiedFlow(shift=3.0)

    def test_it_is_the_same_process_at_other_times(self):
        """v = s u / (1 + (s - 1) u): the odds of noise to signal are s times as large."""
        t = torch.linspace(0, 1, 5, dtype=torch.float64)
        plain, shifted = RectifiedFlow(), self.schedule()
        torch.testing.assert_close(shifted.alpha(t) + shifted.sigma(t), torch.ones_like(t))
        torch.testing.assert_close(
            shifted.sigma(t) / shifted.alpha(t), 3 * plain.sigma(t) / plain.alpha(t)
        )


_NONSENSE = (float("nan"), float("inf"), -1.0)


@pytest.mark.parametrize(
    ("build", "what"),
    [
        (lambda: VPLinear(beta_min=0), "beta_min"),
        (lambda: VPLinear(t_min=1.0), "t_min"),
        (lambda: VPCosine(3, -3), "log_snr_min"),
        (lambda: VPCosine(-1e6, 15), "log_snr_min"),
        (lambda: VPTabulated([0.1]), "betas"),
        (lambda: VPTabulated([]), "betas"),
        (lambda: VPTabulated([0.1, 1.2]), "betas"),
        (lambda: VPTabulated([0.1, float("nan")]), "betas"),
        (lambda: VPTabulated.linear(0), "num_steps"),
        (lambda: VPTabulated.linear(10**12), "num_steps"),
        (lambda: VE(2, 1), "sigma_min"),
        (lambda: VE(1, 1), "sigma_min"),
        (lambda: EDM(0, 1), "sigma_min"),
        (lambda: EDM(rho=0), "rho"),
        (lambda: RectifiedFlow(0.5), "t_min"),
        *[(lambda value=value: RectifiedFlow(shift=value), "shift") for value in (*_NONSENSE, 0)],
        *[(lambda value=value: VPLinear(value, value), "beta_min") for value in _NONSENSE],
        *[(lambda value=value: VPTabulated.linear(10, value), "beta_start") for value in _NONSENSE],
        *[(lambda value=value: VE(value, 10.0), "sigma_min") for value in _NONSENSE],
        *[(lambda value=value: EDM(rho=value), "rho") for value in _NONSENSE],
        *[(lambda value=value: RectifiedFlow(value), "t_min") for value in _NONSENSE],
        *[
            (lambda value=value: VPCosine(-15, value), "log_snr_min")
            for value in _NONSENSE
            if value != -1.0
        ],
    ],
)
def test_wrong_arguments_are_named(build, what):
    with pytest.raises(InvalidInput) as raised:
        build()
    assert what in raised.value.what
    assert raised.value.given is not None
    assert raised.value.expected


def test_a_table_can_be_told_in_other_units():
    t = torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64)
    plain = VPTabulated.linear(41)
    scaled = VPTabulated(plain.betas.tolist(), 25.0)
    assert plain.told(t).tolist() == [0, 16, 40]
    assert scaled.told(t).tolist() == [0, 400, 1000]
    assert torch.equal(plain.log_snr(t), scaled.log_snr(t))
    with pytest.raises(InvalidInput, match="time_scale"):
        VPTabulated([0.1, 0.2], 0.0)
