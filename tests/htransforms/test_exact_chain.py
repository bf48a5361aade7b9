"""The exact h of a Gaussian chain, against the one of the same Gaussian over all coordinates."""

import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.exact import Exact
from deft.htransforms.exact_chain import ExactChain
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators.inpainting import Inpainting
from deft.operators.matrix import Matrix
from deft.operators.motif import Motif
from deft.posterior import Posterior
from deft.priors.gaussian_chain import GaussianChain
from deft.samplers.ddim import DDIM
from tests.contracts.htransform import HTransformContract
from tests.priors.test_gaussian_chain import DOUBLE, ROTATION, as_mixture, chain


def motifs(prior, n, sigma_y=0.3, seed=0, frame="fixed"):
    """Four residues in a row, other ones for each chain, of chains of the prior."""
    places = prior.event_shape[0]
    index = (torch.arange(4) + torch.arange(n)[:, None]) % (int(prior.lengths.min()) - 4)
    likelihood = GaussianLikelihood(Motif(index.sort(1).values, None, places, frame), sigma_y)
    noise = Noise(range(seed, seed + n), dtype=prior.dtype)
    own = prior if prior.num_observations == n else prior.take([0])
    return Observation(likelihood.sample(own.sample(noise), noise.stream(1)), likelihood)


class TestExactChain(HTransformContract):
    def h_transform(self, prior):
        return ExactChain(prior)

    def prior(self):
        return chain(10)

    def observation(self, prior, n, sigma_y=0.2, seed=0):
        return motifs(prior, n, sigma_y, seed)


def test_it_is_the_exact_h_of_the_gaussian_over_all_coordinates():
    prior = chain(10)
    observation = motifs(prior, 3)
    x_t = prior.projected(5 * torch.randn(3, 10, 3, dtype=DOUBLE), prior.mask)
    denoised = prior.at(x_t, torch.tensor([0.2, 0.5, 0.9], dtype=DOUBLE))
    mixture = as_mixture(prior)
    exact, own = Exact(mixture), ExactChain(prior)
    torch.testing.assert_close(own.shift(denoised, observation), exact.shift(denoised, observation))
    torch.testing.assert_close(own.evidence(observation), exact.evidence(observation))


def test_a_matrix_that_takes_coordinates_alike_is_as_good():
    prior = chain(10)
    observation = motifs(prior, 1)
    rows = torch.eye(10, dtype=DOUBLE)[observation.operator.index[0]]
    operator = Matrix(torch.kron(rows, torch.eye(3, dtype=DOUBLE)), (10, 3))
    same = Observation(observation.y.flatten(1), GaussianLikelihood(operator, 0.3))
    one, other = (ExactChain(prior).posterior(o) for o in (observation, same))
    torch.testing.assert_close(one.mean, other.mean)
    torch.testing.assert_close(one.covariance, other.covariance)


def test_chains_of_several_lengths_have_their_own_posteriors():
    prior = chain(8, 11)
    observation = motifs(prior, 2)
    together = ExactChain(prior).posterior(observation)
    for i, n in enumerate((8, 11)):
        one = observation.take([i])
        index = one.operator.index
        own = Observation(one.y, GaussianLikelihood(Motif(index, None, n, "fixed"), 0.3))
        alone = ExactChain(chain(n)).posterior(own)
        torch.testing.assert_close(together.mean[i, :n], alone.mean[0])
        torch.testing.assert_close(together.covariance[i, :n, :n], alone.covariance[0])
    assert (together.mean[0, 8:] == 0).all()
    x = DDIM(steps=10)(Posterior(prior, ExactChain(prior), observation), 2, seed=1)
    assert x.shape == (2, 2, 11, 3)
    assert (x[0, :, 8:] == 0).all()


def test_rows_that_do_not_exist_say_nothing():
    prior = chain(9)
    y = torch.randn(1, 3, 3, dtype=DOUBLE)
    two = Observation(
        y[:, :2], GaussianLikelihood(Motif(torch.tensor([[2, 5]]), None, 9, "fixed"), 0.3)
    )
    three = Observation(
        y, GaussianLikelihood(Motif(torch.tensor([[2, 5, -1]]), None, 9, "fixed"), 0.3)
    )
    exact = ExactChain(prior)
    torch.testing.assert_close(exact.posterior(three).mean, exact.posterior(two).mean)
    torch.testing.assert_close(exact.evidence(three), exact.evidence(two))


def test_samples_are_those_of_the_posterior():
    """Moments of 600 samples of 80 steps; four standard errors, and the error of the steps."""
    prior = chain(10)
    observation = motifs(prior, 1, sigma_y=0.5)
    posterior = Posterior(prior, ExactChain(prior), observation)
    x = DDIM(steps=80, eta=1.0)(posterior, 600, seed=0)[0]
    law = ExactChain(prior).posterior(observation)
    sd = law.covariance[0].diagonal().sqrt()[:, None]
    assert ((x.mean(0) - law.mean[0]) / sd).abs().max() < 4 / 600**0.5 + 0.05
    ratio = x.var(0).mean(1).sqrt() / sd[:, 0]
    assert (ratio - 1).abs().max() < 4 / (2 * 1800) ** 0.5 + 0.05


def test_a_posterior_turns_with_its_motif_and_its_noise():
    """What is drawn from turned noise, given a turned motif, is the turned design; to 1e-4 in
    single precision.
    """
    prior = GaussianChain(24)
    observation = motifs(prior, 2)
    turned = Observation(observation.y @ ROTATION.float().mT, observation.likelihood)
    one, other = (Posterior(prior, ExactChain(prior), o) for o in (observation, turned))
    t = torch.tensor([0.4, 0.7])
    x_t = prior.noise(Noise([1, 2]), 0)
    moved = other.denoise(x_t @ ROTATION.float().mT, t)
    assert (moved - one.denoise(x_t, t) @ ROTATION.float().mT).abs().max() < 1e-4


def test_the_same_design_for_the_same_seed_given_a_motif():
    prior, sampler = GaussianChain(32), DDIM(steps=20, eta=1.0)
    two = prior.of_length(20, 32)
    observation = motifs(two, 2)
    together = sampler(Posterior(two, ExactChain(two), observation), seed=[7, 8])
    index = observation.take([0]).operator.index
    for places in (20, 27):
        own = prior.given(mask=torch.arange(places) < 20)
        alone = Observation(
            observation.y[:1], GaussianLikelihood(Motif(index, None, places, "fixed"), 0.3)
        )
        x = sampler(Posterior(own, ExactChain(own), alone), seed=[7])
        assert (x[0, 0, :20] - together[0, 0, :20]).abs().max() < 2e-4


def test_what_is_refused():
    prior = chain(10)
    aligned = motifs(prior, 1, frame="aligned")
    with pytest.raises(InvalidInput, match="linear"):
        Posterior(prior, ExactChain(prior), aligned)
    some = Observation(
        torch.zeros(1, 10, 3, dtype=DOUBLE),
        GaussianLikelihood(Inpainting(torch.tensor([[[1.0, 0.0, 1.0]]], dtype=DOUBLE)), 0.1),
    )
    with pytest.raises(InvalidInput) as error:
        Posterior(prior, ExactChain(prior), some)
    assert "alike" in error.value.given
    with pytest.raises(InvalidInput, match="another shape"):
        Posterior(prior, ExactChain(chain(9)), motifs(prior, 1))
    with pytest.raises(InvalidInput) as error:
        Posterior(prior, ExactChain(prior.of_length(8, 9, 10)), motifs(prior, 2))
    assert "3 chains" in error.value.given
    with pytest.raises(InvalidInput, match="density"):
        ExactChain(prior).evidence(motifs(prior, 1, sigma_y=0.0))
