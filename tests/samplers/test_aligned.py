"""The baselines for a motif that is known up to a rigid motion: each runs, none depends on its
frame, no gradient passes through a rotation, and no evidence is reported.
"""

import json

import pytest
import torch

from deft.errors import InvalidInput
from deft.geometry import superposed
from deft.htransforms.base import NoConditioning
from deft.htransforms.dps import DPS
from deft.htransforms.gaussian_potential import GaussianPotential
from deft.htransforms.pigdm import PiGDM
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators.motif import Motif
from deft.paths import simulate, weigh
from deft.posterior import Posterior
from deft.priors.gaussian_chain import GaussianChain
from deft.samplers.cooled import Cooled
from deft.samplers.ddim import DDIM
from deft.samplers.grids import UniformLogSNR
from deft.samplers.replacement import Replacement, ReplacementAfter
from deft.samplers.smc import ResampledSMC, TwistedSMC

GRID = UniformLogSNR(9.0, -10.0)
INDEX = torch.tensor([[2, 3, 4, 5, 10, 11, 12, 13]])
GROUPS = {"one": None, "two": torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1]])}


def rotation(seed):
    q = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(seed))).Q
    return q * torch.linalg.det(q)


def motif(group="one", frame="aligned", seed=0):
    """The residues of a draw of the prior, measured to 0.3 A."""
    prior = GaussianChain(16)
    likelihood = GaussianLikelihood(Motif(INDEX, GROUPS[group], 16, frame), 0.3)
    y = likelihood.operator(prior.sample(Noise([seed])))
    return prior, Observation(y, likelihood)


def moved(observation, seed=3):
    """The same motif in another frame, one for each group."""
    y = observation.y.clone()
    for g in range(observation.operator.groups):
        rows = observation.operator.group[0] == g
        y[:, rows] = y[:, rows] @ rotation(seed + g).mT + 5.0 * (g + 1)
    return Observation(y, observation.likelihood)


def replaced(prior, observation):
    return Replacement(30, resamplings=1, grid=GRID)(prior, observation, 3)[0]


def replaced_after_cooled_steps(prior, observation):
    cooled = Cooled(30, 0.6, 6.0, GRID)
    return ReplacementAfter(cooled)(prior, observation, 3)[0]


def guided(h_transform):
    def draw(prior, observation):
        posterior = Posterior(prior, h_transform, observation)
        return DDIM(30, eta=1.0, grid=GRID)(posterior, 3)[0]

    return draw


def twisted(prior, observation):
    potential = GaussianPotential.for_prior(prior)
    smc = ResampledSMC(TwistedSMC(potential, 30, grid=GRID), particles=8)
    return smc.draw(prior, 3, observation=observation, h_transform=potential).x_0[0]


METHODS = {
    "replacement": (replaced, 1e-3),
    "replacement, cooled": (replaced_after_cooled_steps, 1e-3),
    "DPS": (guided(DPS.published(1.0)), 1.0),
    "guidance": (guided(GaussianPotential(5.0)), 1.0),
    "TDS": (twisted, 1.0),
    "unconditional": (guided(NoConditioning()), None),
}


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("method", METHODS)
def test_each_runs_and_finds_the_motif_in_whichever_frame_it_came(method, group):
    draw, within = METHODS[method]
    prior, observation = motif(group)
    x = draw(prior, observation)
    assert x.shape == (3, 16, 3)
    other = draw(prior, moved(observation))
    assert (other - x).abs().max() < 5e-3  # rounding, over 30 steps
    left = observation.operator.difference(observation.y.expand(3, -1, -1), x[:, INDEX[0]])
    rmsd = left.square().sum(2).mean(1).sqrt()
    if within is None:
        assert rmsd.min() > 1.0
    else:
        assert rmsd.max() < within


def test_guidance_is_that_of_the_motif_in_the_frame_of_the_estimate():
    """At a fixed rotation: what a fixed motif says that lies where the aligned one is moved to."""
    prior, aligned = motif("two")
    x_t = 10 * prior.noise(Noise([4]), 0)
    t = torch.tensor([0.5])
    x_0_hat = prior.denoise(x_t, t)
    fixed = aligned.in_frame(x_0_hat)
    assert type(fixed.operator).__name__ == "FixedMotif"
    for h in (GaussianPotential.for_prior(prior), DPS(0.1)):
        one, other = (Posterior(prior, h, o).parts(x_t, t)[1] for o in (aligned, fixed))
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    for g in range(2):
        rows = aligned.operator.group[0] == g
        torch.testing.assert_close(
            fixed.y[:, rows], superposed(aligned.y[:, rows], x_0_hat[:, INDEX[0][rows]])
        )


def test_a_fixed_motif_is_its_own_frame():
    _, fixed = motif(frame="fixed")
    assert fixed.in_frame(torch.zeros(1, 16, 3)) is fixed


def test_rows_that_do_not_exist_come_last_in_the_frame_of_an_estimate():
    index = torch.tensor([[-1, 2, -1, 0, 1]])
    operator = Motif(index, None, 4)
    x_0 = torch.randn(2, 4, 3)
    fixed, y = operator.in_frame(operator(x_0), x_0)
    assert fixed.index.tolist() == [[2, 0, 1, -1]]
    torch.testing.assert_close(y, fixed(x_0), rtol=0, atol=1e-4)
    taken = operator.repeat(2).take([1])
    torch.testing.assert_close(taken.in_frame(operator(x_0)[:1], x_0[:1])[1], y[:1])


def test_no_evidence_is_reported_of_an_aligned_motif():
    prior, observation = motif()
    potential = GaussianPotential.for_prior(prior)
    posterior = Posterior(prior, potential, observation)
    particles = TwistedSMC(potential, 20, grid=GRID)(posterior, 6)
    sampler = DDIM(20, eta=1.0, grid=GRID)
    weighed = weigh(simulate(posterior, sampler, 6), posterior)
    for samples in (particles, weighed):
        assert samples.log_evidence is None
        assert samples.standard_error is None
        assert samples.effective_sample_size[0] > 1
        card = json.loads(json.dumps(samples.card(), allow_nan=False))[0]
        assert card["log_evidence"] is None
        assert "no log p(y)" in str(samples)


def test_evidence_is_reported_of_the_same_motif_in_a_fixed_frame():
    prior, observation = motif(frame="fixed")
    potential = GaussianPotential.for_prior(prior)
    particles = TwistedSMC(potential, 20, grid=GRID)(Posterior(prior, potential, observation), 6)
    assert particles.log_evidence.isfinite().all()
    assert "log p(y) = " in str(particles)


def test_a_method_that_knows_linear_operators_alone_still_refuses():
    prior, observation = motif()
    with pytest.raises(InvalidInput, match="linear"):
        Posterior(prior, PiGDM(prior.scale), observation)
