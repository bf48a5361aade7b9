import pytest
import torch
from torch import nn

from deft.errors import InvalidInput
from deft.priors import flow_matching
from deft.priors.identity import same_identity
from deft.schedules import RectifiedFlow
from tests.contracts.prior import PriorContract
from tests.priors.test_edm import SHAPE, Small
from tests.priors.test_gaussian_mixture import mixture


class Velocity(nn.Module):
    """The exact velocity of a mixture, in either direction of time."""

    def __init__(self, data_at, time_scale=1.0):
        super().__init__()
        self.reference = mixture(RectifiedFlow())
        self.data_at, self.time_scale = data_at, time_scale

    def forward(self, x_u, time):
        u = 1 - time / self.time_scale if self.data_at else time / self.time_scale
        schedule = self.reference.schedule
        t = (u - schedule.t_min) / (1 - 2 * schedule.t_min)
        at = self.reference.at(x_u, t)
        velocity = at.eps_hat - at.x_0_hat
        return -velocity if self.data_at else velocity


class _Contract(PriorContract):
    data_at = 0
    tolerance = 1e-8  # x_u - u f where both are large

    def prior(self):
        return flow_matching.around(Velocity(self.data_at), SHAPE, 1.3, data_at=self.data_at)

    def noisy(self, prior, n=3):
        x_t, t = super().noisy(prior, n)
        return x_t.double(), t


class TestDataAtZero(_Contract):
    pass


class TestDataAtOne(_Contract):
    data_at = 1


@pytest.mark.parametrize("data_at", [0, 1])
@pytest.mark.parametrize("time_scale", [1.0, 1000.0])
def test_it_is_the_denoiser_of_the_mixture(data_at, time_scale):
    reference = mixture(RectifiedFlow())
    prior = flow_matching.around(
        Velocity(data_at, time_scale), SHAPE, 1.0, data_at=data_at, time_scale=time_scale
    )
    x_t = torch.randn(4, *SHAPE, dtype=torch.float64)
    for level in (0.0, 0.3, 0.9, 1.0):
        t = torch.full((4,), level, dtype=torch.float64)
        torch.testing.assert_close(
            prior.denoise(x_t, t), reference.denoise(x_t, t), rtol=0, atol=1e-8
        )


def test_the_other_direction_is_another_prior_and_no_default():
    torch.manual_seed(0)
    network = Small()
    one, other = (flow_matching.around(network, SHAPE, 1.0, data_at=at) for at in (0, 1))
    assert same_identity(one.identity(), other.identity())
    with pytest.raises(TypeError, match="data_at"):
        flow_matching.around(network, SHAPE, 1.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_network_comes_back_from_its_weights(tmp_path, dtype):
    network = Small().to(dtype)
    torch.save(network.state_dict(), tmp_path / "w.pt")
    prior = flow_matching.load(
        tmp_path / "w.pt", Small().to(dtype), SHAPE, 1.0, data_at=1, time_scale=1000.0
    )
    x_t = torch.randn(2, *SHAPE)
    for level in (0.1, 0.5, 0.99):
        t = torch.full((2,), level, dtype=torch.float64)
        u = prior.schedule.sigma(t).float()
        with torch.no_grad():
            f = network(x_t.to(dtype), (1000 * (1 - prior.schedule.sigma(t))).float()).float()
        expected = x_t + u[:, None, None] * f
        torch.testing.assert_close(prior.denoise(x_t, t), expected, rtol=1e-3, atol=1e-4)


def test_errors():
    for changes, match in (
        ({"data_at": 2}, "data_at"),
        ({"data_at": True}, "data_at"),
        ({"data_at": 0, "time_scale": 0.0}, "time_scale"),
        ({"data_at": 0, "t_min": 0.7}, "t_min"),
    ):
        with pytest.raises(InvalidInput, match=match):
            flow_matching.around(Small(), SHAPE, 1.0, **changes)
