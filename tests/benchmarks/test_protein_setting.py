"""The exact bed for proteins: the exact h is at its Monte Carlo floor, a learned one near it, other
methods are not, and twisted SMC converges.
"""

import pytest
import torch
from protein_setting import GRID, Bed, ResidualMap, judge, judge_twisted, learned

from deft.htransforms.base import NoConditioning
from deft.htransforms.dps import DPS
from deft.htransforms.exact_chain import ExactChain
from deft.htransforms.gaussian_potential import GaussianPotential
from deft.noise import Noise
from deft.posterior import Posterior
from deft.samplers.ddim import DDIM
from deft.samplers.replacement import Replacement
from tests.contracts.htransform import HTransformContract
from tests.htransforms.test_exact_chain import motifs
from tests.priors.test_gaussian_chain import chain

BED, STEPS, SAMPLES = Bed(), 40, 100


@pytest.fixture(scope="module")
def seen():
    return BED.observations([0, 1])


@pytest.fixture(scope="module")
def floor(seen):
    """What exact samples leave: 1.2 A."""
    return judge(BED, seen, exact_draws(seen, SAMPLES)).floor


def exact_draws(seen, n):
    law = ExactChain(BED.prior).posterior(seen)
    z = torch.stack([BED.prior.noise(Noise(range(k * n, k * n + n)), 5) for k in range(2)])
    return torch.stack([law.take([k]).sample(z[k]) for k in range(2)])


def of(seen, h_transform):
    posterior = Posterior(BED.prior, h_transform, seen)
    return judge(BED, seen, DDIM(STEPS, eta=1.0, grid=GRID)(posterior, SAMPLES))


def test_exact_draws_are_judged_exact(seen):
    found = judge(BED, seen, exact_draws(seen, 400))
    assert found.error < 1.3 * found.floor
    assert found.bias < 0.6 * found.floor
    assert found.spread == pytest.approx(1.0, abs=0.1)
    # two thirds of the noise of y is left in the motif: its own chain says the rest
    assert found.motif < 3**0.5 * 2 * BED.sigma_y


def test_the_exact_h_is_at_the_floor(seen, floor):
    found = of(seen, ExactChain(BED.prior))
    assert found.error < 1.3 * floor
    assert found.motif < 3**0.5 * 2 * BED.sigma_y
    assert 0.75 < found.spread < 1.1  # steps of finite length lose some


def test_a_learned_h_is_near_it(seen, floor):
    """200 steps of 64 draws; the exact h is not looked at."""
    h, facts = learned(BED, steps=200, batch_size=64)
    found = of(seen, h)
    assert found.error < 1.5 * floor
    assert found.motif < 3**0.5 * 2 * BED.sigma_y
    assert facts["signals"] == 12_800
    untrained = of(seen, ResidualMap(BED.length, BED.rows, BED.prior.scale))
    assert untrained.error > 2.5 * floor


def test_the_others_are_far_behind(seen, floor):
    replacement = Replacement(STEPS, resamplings=1, grid=GRID)(BED.prior, seen, SAMPLES)
    assert judge(BED, seen, replacement).error > 4 * floor
    assert of(seen, GaussianPotential.for_prior(BED.prior)).error > 2 * floor
    assert of(seen, DPS.published(0.3)).error > 1.7 * floor
    assert of(seen, NoConditioning()).error > 7 * floor


def test_twisted_smc_converges_with_the_number_of_particles():
    """On a chain of 16, where few particles suffice; two problems, 64 systems of each number."""
    bed = Bed(length=16, first=5, rows=5, sigma_y=0.3)
    seen = bed.observations(range(2))
    found = [judge_twisted(bed, seen, particles, 64, 30) for particles in (1, 4, 16, 64)]
    errors = [each.error for each in found]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1.5 * found[-1].floor
    assert errors[0] > 4 * found[0].floor


class TestResidualMap(HTransformContract):
    reads_noise_level = False  # it is of one noise level
    builds_on_the_prior = False
    tolerance = 1e-5

    def h_transform(self, prior):
        torch.manual_seed(0)
        h = ResidualMap(prior.event_shape[0], 4, prior.scale).to(prior.dtype)
        torch.nn.init.normal_(h.matrix.layers[-1].weight, std=0.01)
        return h

    def prior(self):
        return chain(10)

    def observation(self, prior, n, sigma_y=0.2, seed=0):
        return motifs(prior, n, sigma_y, seed)
