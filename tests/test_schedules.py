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
        u = torch.linspace(0, schedule.t_min + (1 - schedule.t_min) * 0.4, 100_001, dtype=torch.float64)
        integral = torch.trapezoid(0.1 + 19.9 * u, u)
        torch.testing.assert_close(schedule.alpha(torch.tensor([0.4], dtype=torch.float64))[0], torch.exp(-0.5 * integral))


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
        torch.testing.assert_close(schedule.alpha(t), (1 - betas).cumprod(0)[k].sqrt(), rtol=1e-10, atol=0)
        assert schedule.index(t).tolist() == k.tolist()

    def test_entries_of_zero_snr_are_out_of_range(self):
        schedule = VPTabulated([0.1, 0.5, 1.0])
        assert schedule.num_steps == 3
        assert schedule.index(torch.ones(1)).item() == 1

    def test_it_agrees_with_its_continuous_limit(self):
        t = torch.linspace(0.01, 1, 50, dtype=torch.float64)
        difference = VPTabulated.linear().log_snr(t) - VPLinear().log_snr(t)
        assert float(difference.abs().max()) < 0.12  # the table's first beta stands for a time step of 1 / 1000


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
        assert EDM().sigma(torch.tensor([1 - i / (n - 1)], dtype=torch.float64)).item() == pytest.approx(sigma)


class TestRectifiedFlow(ScheduleContract):
    def schedule(self):
        return RectifiedFlow()

    def test_alpha_and_sigma_sum_to_one(self):
        t = torch.linspace(0, 1, 5, dtype=torch.float64)
        torch.testing.assert_close(RectifiedFlow().alpha(t) + RectifiedFlow().sigma(t), torch.ones_like(t))


@pytest.mark.parametrize(
    "build",
    [
        lambda: VPLinear(beta_min=0),
        lambda: VPCosine(3, -3),
        lambda: VPTabulated([0.1]),
        lambda: VPTabulated([0.1, 1.2]),
        lambda: VE(2, 1),
        lambda: EDM(0, 1),
        lambda: RectifiedFlow(0.5),
    ],
)
def test_wrong_arguments_are_named(build):
    with pytest.raises(InvalidInput, match="needs"):
        build()
