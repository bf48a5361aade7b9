"""The likelihood of counts whose mean the operator says (deft.likelihoods.EmissionLikelihood)."""

import pytest
import torch
from torch.distributions import Poisson

from deft.errors import InvalidInput
from deft.htransforms.dps import DPS
from deft.htransforms.exact import Exact
from deft.htransforms.gaussian_potential import GaussianPotential
from deft.htransforms.mmps import MMPS
from deft.htransforms.pigdm import PiGDM
from deft.htransforms.tmpd import TMPD
from deft.likelihoods import EmissionLikelihood, GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators import Identity, Inpainting, InUnits, SuperResolution
from deft.posterior import Posterior
from deft.samplers.diffpir import DiffPIR
from tests.closed_form import DOUBLE, mixture
from tests.contracts.operator import dense
from tests.interop.deepinv.test_operators import Squares

SHAPE = (1, 4, 6)


@pytest.fixture(autouse=True)
def _double_precision():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def observed(gain, batch=3):
    operator = InUnits(SuperResolution(2, SHAPE).double(), 0.5, 0.5)
    x_0 = 2 * torch.rand(batch, *SHAPE) - 1
    likelihood = EmissionLikelihood(operator, gain)
    return x_0, likelihood, likelihood.sample(x_0, Noise(range(batch)))


def test_it_is_poissons_law():
    gain = torch.tensor([0.2, 0.01, 1.0])
    x_0, likelihood, y = observed(gain)
    counts = y / gain[:, None, None, None]
    torch.testing.assert_close(counts, counts.round())
    rates = likelihood.operator(x_0) / gain[:, None, None, None]
    torch.testing.assert_close(
        likelihood.log_prob(x_0, y), Poisson(rates).log_prob(counts.round()).flatten(1).sum(1)
    )


def test_moments():
    x_0, likelihood, _ = observed(0.05, batch=1)
    y = likelihood.sample(x_0.expand(4000, *SHAPE), Noise(range(4000)))
    mean = likelihood.operator(x_0)[0]
    torch.testing.assert_close(y.mean(0), mean, rtol=0, atol=0.02)
    torch.testing.assert_close(y.var(0), 0.05 * mean, rtol=0.15, atol=0)


def test_a_negative_rate_explains_nothing():
    x_0, likelihood, y = observed(0.1)
    assert torch.isneginf(likelihood.log_prob(x_0 - 3, y)).all()
    with pytest.raises(InvalidInput, match=r"the mean of a count is >= 0; the operator gives -"):
        likelihood.sample(x_0 - 3, Noise(range(3)))
    with pytest.raises(InvalidInput, match="gain is the value of one count"):
        EmissionLikelihood(likelihood.operator, 0.0)


def test_guidance_is_weighted_least_squares():
    x_0, likelihood, y = observed(torch.tensor([0.02, 0.1, 0.5]))
    x_0_hat, r_t = x_0 + 0.1 * torch.randn_like(x_0), torch.tensor([0.3, 0.1, 1.0])
    found = likelihood.guidance(x_0_hat, r_t, y)
    a = dense(likelihood.operator.linear, SHAPE)
    for i in range(3):
        gain = likelihood.gain[i]
        w = torch.diag(1 / (gain * (y[i].flatten() + gain)))
        residual = (y - likelihood.operator(x_0_hat))[i].flatten()
        g = torch.linalg.solve(
            r_t[i] ** 2 * a.T @ w @ a + torch.eye(a.shape[1]), a.T @ w @ residual
        )
        torch.testing.assert_close(found[i].flatten(), r_t[i] * g, rtol=1e-5, atol=1e-6)


def test_many_counts_are_gaussian():
    """With the gain to 0 and rates about one value, guidance is that of Gaussian noise of the
    variance gain * rate.
    """
    operator = InUnits(Inpainting(torch.ones(1, 1, 4, 6)), 0.5, 0.5)
    x_0 = 0.001 * torch.randn(2, *SHAPE)
    likelihood = EmissionLikelihood(operator, 1e-8)
    y = likelihood.sample(x_0, Noise([0, 1]))
    r_t = torch.tensor([1e-4])
    gaussian = GaussianLikelihood(operator, (torch.tensor(0.5) * 1e-8).sqrt())
    torch.testing.assert_close(
        likelihood.guidance(x_0 + 1e-4, r_t, y),
        gaussian.guidance(x_0 + 1e-4, r_t, y),
        rtol=0.01,
        atol=1e-3,
    )


def test_an_operator_that_is_not_linear():
    from deft.interop.deepinv.operators import from_deepinv

    likelihood = EmissionLikelihood(from_deepinv(Squares(), SHAPE), 0.01)
    x_0 = 2 * torch.rand(2, *SHAPE) - 1
    y = likelihood.sample(x_0, Noise([0, 1]))
    toward = likelihood.guidance(x_0 + 0.2, torch.tensor([0.3]), y)
    assert toward.isfinite().all()
    assert float(toward.mean()) < 0


def test_take_and_misfit():
    x_0, likelihood, y = observed(torch.tensor([0.001, 0.01, 0.02]))
    taken = likelihood.take([2, 0])
    torch.testing.assert_close(
        taken.log_prob(x_0[[2, 0]], y[[2, 0]]), likelihood.log_prob(x_0, y)[[2, 0]]
    )
    assert ((likelihood.misfit(x_0, y) - 1).abs() < 1.0).all()
    assert likelihood.sigma_y.shape == (3,)


@pytest.mark.parametrize(
    "h_transform", [PiGDM(), TMPD(), MMPS(), GaussianPotential(1.0)], ids=lambda h: type(h).__name__
)
def test_methods_for_gaussian_noise_refuse_it(h_transform):
    prior = mixture()
    observation = Observation(torch.ones(1, 3, dtype=DOUBLE), EmissionLikelihood(Identity(), 0.1))
    with pytest.raises(
        InvalidInput, match=r"assumes Gaussian noise .* got EmissionLikelihood.*Use .*DPS"
    ):
        Posterior(prior, h_transform, observation)
    with pytest.raises(InvalidInput, match="DiffPIR assumes Gaussian noise"):
        DiffPIR(2).check(prior, observation)
    with pytest.raises(InvalidInput, match="needs Gaussian noise; got EmissionLikelihood"):
        Exact(prior).posterior(observation)
    Posterior(prior, DPS(1.0), observation)
