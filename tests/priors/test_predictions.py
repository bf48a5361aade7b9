"""What a network says, against the exact denoiser of a mixture."""

import pytest
import torch

from deft.errors import InvalidInput
from deft.priors.callable import CallablePrior
from deft.priors.predictions import ALIASES, PREDICTIONS, EDMPreconditioned, prediction
from deft.priors.rescheduled import Rescheduled
from deft.schedules import EDM, VE, RectifiedFlow, VPLinear
from tests.priors.test_gaussian_mixture import mixture

SCHEDULES = [VPLinear(), VE(0.02, 10.0), RectifiedFlow(1e-2), EDM(0.02, 10.0)]
SAYS = {  # by its definition, in x_0 and eps
    "x_0": lambda x_0, eps, alpha, sigma: x_0,
    "epsilon": lambda x_0, eps, alpha, sigma: eps,
    "v": lambda x_0, eps, alpha, sigma: alpha * eps - sigma * x_0,
    "velocity": lambda x_0, eps, alpha, sigma: eps - x_0,
    "score": lambda x_0, eps, alpha, sigma: -eps / sigma,
}


@pytest.mark.parametrize("name", [*PREDICTIONS, *ALIASES])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: type(schedule).__name__)
def test_a_network_that_says_so_is_the_exact_prior(name, schedule):
    reference = Rescheduled(mixture(), schedule)

    def network(x_t, t):
        found = reference.at(x_t, t)
        return SAYS[ALIASES.get(name, name)](
            found.x_0_hat, found.eps_hat, found.alpha_t, found.sigma_t
        )

    prior = CallablePrior(
        network, schedule, reference.event_shape, reference.scale, prediction=name
    )
    x_t = torch.randn(5, *reference.event_shape, dtype=torch.float64)
    for t in (0.1, 0.5, 0.9):
        t = torch.full((1,), t, dtype=torch.float64)
        torch.testing.assert_close(
            prior.denoise(x_t, t), reference.denoise(x_t, t), rtol=1e-7, atol=1e-7
        )
    assert prior.prediction == ALIASES.get(name, name)
    assert prior.identity()["prediction"] == prior.prediction


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: type(schedule).__name__)
def test_edms_network_is_the_exact_prior(schedule, negative):
    """F = (x_0_hat - c_skip u) / c_out at u = x_t / alpha, which is given scaled by c_in; or -F."""
    reference, s = Rescheduled(mixture(), schedule), 0.7

    def network(given, t):
        alpha, sigma = (level.reshape(-1, 1, 1) for level in (schedule.alpha(t), schedule.sigma(t)))
        v = sigma / alpha
        u = given * (s**2 + v**2).sqrt()
        return (
            (reference.denoise(alpha * u, t) - s**2 / (s**2 + v**2) * u)
            * (s**2 + v**2).sqrt()
            / (s * v)
            * (-1 if negative else 1)
        )

    prior = CallablePrior(
        network,
        schedule,
        reference.event_shape,
        reference.scale,
        prediction=EDMPreconditioned(s, negative),
    )
    assert prior.prediction == ("edm_v" if negative else "edm")
    x_t = torch.randn(5, *reference.event_shape, dtype=torch.float64)
    for t in (0.1, 0.5, 0.9):
        t = torch.full((1,), t, dtype=torch.float64)
        torch.testing.assert_close(
            prior.denoise(x_t, t), reference.denoise(x_t, t), rtol=1e-6, atol=1e-6
        )


def test_what_is_none():
    with pytest.raises(InvalidInput) as raised:
        prediction("epsilom")
    assert "epsilon" in raised.value.advice
    with pytest.raises(InvalidInput):
        EDMPreconditioned(0.0)
