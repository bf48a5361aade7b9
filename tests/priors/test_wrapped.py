"""A prior around another one, and noise in a prior's own space: signals whose entries sum to
zero never leave that space, whatever samples them.
"""

import pytest
import torch

from deft.htransforms.base import NoConditioning
from deft.htransforms.exact import Exact
from deft.htransforms.gaussian_potential import GaussianPotential
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators.identity import Identity
from deft.paths import simulate
from deft.posterior import Posterior
from deft.priors.gaussian_mixture import GaussianMixture
from deft.priors.rescheduled import Rescheduled
from deft.priors.wrapped import WrappedPrior
from deft.samplers.daps import DAPS
from deft.samplers.ddim import DDIM
from deft.samplers.ddnm_plus import DDNMPlus
from deft.samplers.ddrm import DDRM
from deft.samplers.diffpir import DiffPIR
from deft.samplers.dpm_solver import DPMSolver
from deft.samplers.grids import UniformLogSNR
from deft.samplers.heun import Heun
from deft.samplers.replacement import Replacement
from deft.samplers.smc import TwistedSMC
from deft.schedules import VE, VPCosine
from deft.studies.counted import Counted
from deft.training.denoising import TimeLaw, noised
from tests.contracts.prior import PriorContract

DOUBLE = torch.float64
SHAPE = (1, 2, 3)


def projection() -> torch.Tensor:
    return torch.eye(6, dtype=DOUBLE) - torch.ones(6, 6, dtype=DOUBLE) / 6


def centred(x: torch.Tensor) -> torch.Tensor:
    return x - x.mean((-3, -2, -1), keepdim=True)


class Centred(WrappedPrior):
    """A prior whose signals sum to zero: N(0, s^2 P), and noise of that space."""

    def __init__(self, prior: GaussianMixture | None = None) -> None:
        super().__init__(
            prior
            or GaussianMixture(
                torch.zeros(1, *SHAPE, dtype=DOUBLE), 0.3 * projection()[None], None, VPCosine()
            )
        )

    def around(self, prior):
        return Centred(prior)

    def denoise(self, x_t, t):
        return self.prior.denoise(x_t, t)

    def noise(self, noise, step, draws=None):
        return centred(super().noise(noise, step, draws))

    def initial(self, noise):
        return centred(super().initial(noise))


def observed(prior) -> Observation:
    likelihood = GaussianLikelihood(Identity(), 0.3)
    y = centred(torch.randn(2, *SHAPE, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)))
    return Observation(y, likelihood.double())


GRID = UniformLogSNR(high=8.0)
# not RED-diff, whose Adam moves each entry by itself
SAMPLERS = [
    DDIM(12, 1.0, GRID),
    Heun(6, GRID),
    DPMSolver(8, GRID),
    DDNMPlus(12, grid=GRID),
    DDRM(12, grid=GRID),
    DiffPIR(12),
    DAPS(8, 1, 70, 1e-3, noise_level=0.3),
    Replacement(8, 4, 2, grid=GRID),
]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: type(sampler).__name__)
def test_no_sampler_leaves_the_space_of_the_prior(sampler):
    prior = Centred()
    h = Exact(prior.prior) if isinstance(sampler, (DDIM, Heun, DPMSolver)) else NoConditioning()
    x_0 = sampler.draw(prior, 16, observation=observed(prior), h_transform=h, seed=1).x_0
    assert float(x_0.mean((-3, -2, -1)).abs().max()) < 1e-6
    assert float(x_0.std()) > 0.1


def test_nor_do_paths_particles_and_training():
    prior = Centred()
    posterior = Posterior(prior, Exact(prior.prior), observed(prior))
    path = simulate(posterior, DDIM(12, 1.0, GRID), 8, seed=1)
    assert float(path.x_t.mean((-3, -2, -1)).abs().max()) < 1e-9
    particles = TwistedSMC(GaussianPotential.for_prior(prior), 12, grid=GRID)(posterior, 8, seed=1)
    assert float(particles.x_0.mean((-3, -2, -1)).abs().max()) < 1e-6
    x_0 = centred(torch.randn(4, *SHAPE, dtype=DOUBLE))
    assert (
        float(
            noised(prior, TimeLaw(), x_0, Noise(range(4), dtype=DOUBLE))
            .x_t.mean((-3, -2, -1))
            .abs()
            .max()
        )
        < 1e-9
    )


class TestWrapped(PriorContract):
    def prior(self):
        return Counted(
            Rescheduled(
                GaussianMixture(
                    torch.zeros(1, 2, 2, dtype=DOUBLE),
                    torch.ones(1, dtype=DOUBLE),
                    None,
                    VPCosine(),
                ),
                VE(),
            )
        )

    def noisy(self, prior, n=3):
        x_t, t = super().noisy(prior, n)
        return x_t.double(), t


def test_what_a_wrapped_prior_does_not_say_the_other_one_says():
    prior = Centred()
    around = Counted(Rescheduled(prior, VPCosine()))
    assert (around.name, around.scale, around.event_shape, around.dtype) == (
        prior.name,
        prior.scale,
        prior.event_shape,
        DOUBLE,
    )
    assert around.identity() == prior.identity()
    assert around.prediction == prior.prediction
    noise = Noise(range(3), dtype=DOUBLE)
    assert torch.equal(around.noise(noise, 4), prior.noise(noise, 4))
    assert around.noise(noise, 4, 5).shape == (3, 5, *SHAPE)


def test_an_identity_is_computed_once_and_anew_where_weights_change():
    prior = GaussianMixture(
        torch.zeros(1, 2, dtype=DOUBLE), torch.ones(1, dtype=DOUBLE), None, VPCosine()
    )
    first = prior.identity()["hash"]
    kept = prior._hashed
    assert prior.identity()["hash"] == first
    assert prior._hashed is kept
    prior.means.add_(1.0)
    assert prior.identity()["hash"] != first
    prior.means.sub_(1.0)
    assert prior.identity()["hash"] == first
