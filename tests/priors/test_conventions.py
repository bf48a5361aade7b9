"""Value range and sigma conventions: one closed-form denoiser in four conventions.

A mixture whose denoiser takes real times, in double precision, is wrapped as an epsilon-DDPM, a
v-cosine, an EDM and a flow-matching prior. Each under `Rescheduled` to one schedule, within the
range of log-SNR common to all four, draws the same posterior samples.
"""

import pytest
import torch
from torch import nn

from deft.htransforms.dps import DPS
from deft.htransforms.pigdm import PiGDM
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators.matrix import Matrix
from deft.posterior import Posterior
from deft.priors import edm, flow_matching
from deft.priors.callable import CallablePrior
from deft.priors.rescheduled import Rescheduled
from deft.samplers.ddim import DDIM
from deft.samplers.heun import Heun
from deft.schedules import VPCosine, VPLinear
from tests.priors.test_gaussian_mixture import mixture

SHAPE, SCALE = (2, 2), 1.0
COMMON = VPCosine(-7.0, 7.0)  # within the range of every schedule below


class Exact(nn.Module):
    """What the mixture's denoiser says in one convention, by the formula of that convention alone:
    `told` (alpha, sigma) of what the network is told, `says` the prediction."""

    def __init__(self, told, says):
        super().__init__()
        self.told, self.says = told, says
        self.reference = mixture(VPCosine(-20.0, 20.0))

    def forward(self, x, time):
        alpha, sigma = (value[:, None, None] for value in self.told(time.double()))
        schedule = self.reference.schedule
        t = schedule.time(2 * (alpha / sigma).log().flatten())
        a = schedule.alpha(t)[:, None, None]
        x_0 = self.reference.denoise(a * x / alpha, t)
        eps = (x - alpha * x_0) / sigma
        return self.says(x_0, eps, alpha, sigma)


def levels(schedule):
    return lambda t: (schedule.alpha(t), schedule.sigma(t))


def ddpm():
    schedule = VPLinear()
    network = Exact(levels(schedule), lambda x_0, eps, alpha, sigma: eps)
    return CallablePrior.from_eps(network, schedule, SHAPE, SCALE, differentiable=True)


def v_cosine():
    schedule = VPCosine(-12.0, 12.0)
    network = Exact(levels(schedule), lambda x_0, eps, alpha, sigma: alpha * eps - sigma * x_0)
    return CallablePrior(network, schedule, SHAPE, SCALE, differentiable=True, prediction="v")


def karras():
    s = 0.5  # of its training: any s gives the same denoiser

    class Raw(nn.Module):
        def __init__(self):
            super().__init__()
            self.exact = Exact(
                lambda sigma: (torch.ones_like(sigma), sigma), lambda x_0, eps, alpha, sigma: x_0
            )

        def forward(self, given, c_noise):
            sigma = (4 * c_noise.double()).exp()
            v = sigma[:, None, None]
            x = given * (v**2 + s**2).sqrt()
            denoised = self.exact(x, sigma)
            return (denoised * (v**2 + s**2) - s**2 * x) / (v * s * (v**2 + s**2).sqrt())

    return edm.around(Raw(), SHAPE, told="c_noise", sigma_data=s)


def flow():
    network = Exact(lambda u: (u, 1 - u), lambda x_0, eps, alpha, sigma: x_0 - eps)
    return flow_matching.around(network, SHAPE, SCALE, data_at=1)


PRIORS = {"epsilon-DDPM": ddpm, "v-cosine": v_cosine, "EDM": karras, "flow matching": flow}


def observation():
    torch.manual_seed(0)
    a = torch.randn(1, 3, 4, dtype=torch.float64)
    y = torch.randn(5, 3, dtype=torch.float64)
    likelihood = GaussianLikelihood(Matrix(a[0], SHAPE), 0.3)
    return Observation(y, likelihood)


@pytest.mark.parametrize("sampler", [DDIM(25, eta=1.0), Heun(12)], ids=["DDIM", "Heun"])
@pytest.mark.parametrize("method", [None, DPS(0.5), PiGDM()], ids=["prior", "DPS", "PiGDM"])
def test_posterior_samples_are_the_same(sampler, method):
    drawn = {}
    for name, make in PRIORS.items():
        prior = Rescheduled(make(), COMMON)
        prior.prior.scale = SCALE
        if method is not None:
            prior = Posterior(prior, method, observation())
        drawn[name] = sampler.run(prior, Noise(range(5), dtype=torch.float64))
    first = drawn["epsilon-DDPM"]
    assert float(first.std()) > 0.2
    for name, samples in drawn.items():
        assert float((samples - first).abs().max()) < 1e-4, name


def test_a_wrong_convention_would_be_seen():
    """The same test with what a flow network is told reversed, or EDM's s forgotten."""
    right = Rescheduled(flow(), COMMON)
    network = Exact(lambda u: (u, 1 - u), lambda x_0, eps, alpha, sigma: x_0 - eps)
    wrong = Rescheduled(flow_matching.around(network, SHAPE, SCALE, data_at=0), COMMON)
    draws = [Heun(12).run(one, Noise(range(5), dtype=torch.float64)) for one in (right, wrong)]
    assert float((draws[0] - draws[1]).abs().max()) > 0.1
