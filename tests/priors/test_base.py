import pytest
import torch
from torch import nn

from deft.errors import InvalidInput
from deft.noise import Noise
from deft.priors.base import state_hash
from deft.priors.callable import CallablePrior
from deft.schedules import VPLinear
from tests.closed_form import DOUBLE, gaussian, mixture


def test_the_vjp_is_that_of_the_covariance():
    """J = (alpha_t / sigma_t^2) Cov[x_0 | x_t], for a Gaussian C (alpha_t^2 C + sigma_t^2
    I)^{-1} alpha_t (Tweedie, second order).
    """
    prior = gaussian()
    t = torch.tensor([0.5], dtype=DOUBLE)
    denoised = prior.at(torch.randn(2, 3, dtype=DOUBLE, requires_grad=True), t)
    alpha, sigma = denoised.alpha_t.item(), denoised.sigma_t.item()
    covariance = prior.moments()[1][0]
    jacobian = (
        alpha
        * covariance
        @ torch.linalg.inv(alpha**2 * covariance + sigma**2 * torch.eye(3, dtype=DOUBLE))
    )
    v = torch.randn(2, 3, dtype=DOUBLE)
    torch.testing.assert_close(denoised.vjp(v), v @ jacobian)


def test_the_gradient_of_a_value_per_signal():
    prior = mixture()
    denoised = prior.at(
        torch.randn(2, 3, dtype=DOUBLE, requires_grad=True), torch.tensor([0.5], dtype=DOUBLE)
    )
    first, second = denoised.x_0_hat.square().sum(1), denoised.x_0_hat
    gradient = denoised.gradient(first)
    denoised = prior.at(denoised.x_t, denoised.t)
    torch.testing.assert_close(gradient, denoised.vjp(2 * second.detach()))


def test_log_snr_of_a_denoised_point():
    prior, t = mixture(), torch.tensor([0.2, 0.8], dtype=DOUBLE)
    torch.testing.assert_close(
        prior.at(torch.zeros(2, 3, dtype=DOUBLE), t).log_snr, prior.schedule.log_snr(t)
    )


def test_x_1_has_the_spread_of_the_marginal():
    prior = CallablePrior(lambda x_t, t: x_t, VPLinear(0.1, 1.0), (2,), 3.0)
    one = torch.ones(1)
    expected = (9 * prior.schedule.alpha(one) ** 2 + prior.schedule.sigma(one) ** 2).sqrt()
    assert float(prior.initial(Noise(range(10_000))).std()) == pytest.approx(
        float(expected), rel=0.03
    )  # four standard errors


def test_context_is_refused():
    with pytest.raises(InvalidInput, match=r"labels: .*GaussianMixture is unconditional"):
        mixture().given(labels=torch.zeros(1))


def test_the_hash_is_of_names_shapes_and_values_in_half_precision():
    layer = nn.Linear(2, 2)
    before = state_hash(layer)
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(p.half().float())
    assert state_hash(layer) == before
    with torch.no_grad():
        layer.weight[0, 0] += 0.1
    assert state_hash(layer) != before
