import math

import pytest
import torch

from deft.errors import InvalidInput, OutOfMemory, WeightsNotFinite
from deft.htransforms.base import HTransform, NoConditioning, Potential
from deft.htransforms.dps import DPS
from deft.htransforms.exact import Exact
from deft.htransforms.gaussian_potential import GaussianPotential
from deft.htransforms.learned import LearnedHTransform
from deft.paths import simulate, weigh
from deft.posterior import Posterior
from deft.samplers.ddim import DDIM
from deft.samplers.grids import UniformLogSNR
from deft.samplers.smc import ResampledSMC, TwistedSMC
from tests.closed_form import DOUBLE, gaussian, measured, mixture
from tests.contracts.htransform import HTransformContract, images


def smc(prior, steps, **options):
    return TwistedSMC(GaussianPotential.for_prior(prior), steps, **options)


def finds_the_posterior(prior, h_transform, systems=16, particles=80, **options):
    """Mean and log p(y), of many small systems with one observation, each weighted by its own
    evidence.

    Within four standard errors, by the spread of the systems, and what the prior discretised in 60
    steps is off by: at most 0.1 standard deviations in the mean and 0.2 nat (both fall as 1 /
    steps).
    """
    observation = measured(prior, seed=1).take([0] * systems)
    weighted = smc(prior, 60, **options)(
        Posterior(prior, h_transform, observation), particles, seed=2
    )
    mean, covariance = (
        moment[0] for moment in Exact(prior).posterior(observation.take([0])).moments()
    )
    share = weighted.log_evidence.softmax(0)
    off = (weighted.mean() - mean) / covariance.diagonal().sqrt()
    error = ((share**2)[:, None] * (off - share @ off) ** 2).sum(0).sqrt()
    assert bool((error < 0.1).all())
    assert bool(((share @ off).abs() < 4 * error + 0.1).all())
    log_evidence = weighted.log_evidence.logsumexp(0) - math.log(systems)
    bound = 4 * weighted.standard_error.square().mean().sqrt() / systems**0.5 + 0.2
    assert float((log_evidence - Exact(prior).evidence(observation)[0]).abs()) < float(bound)
    return weighted


@pytest.mark.parametrize("make", [gaussian, mixture])
@pytest.mark.parametrize("eta", [0.6, 1.0])
def test_a_proposal_that_knows_nothing_still_finds_the_posterior(make, eta):
    weighted = finds_the_posterior(make(), NoConditioning(), eta=eta)
    assert bool((weighted.resampled > 0).all())
    assert not weighted.collapsed.any()


def test_a_proposal_by_dps_does_too():
    finds_the_posterior(mixture(), DPS(0.5))


def test_the_exact_h_needs_no_resampling():
    prior = mixture()
    observation = measured(prior)
    weighted = smc(prior, 100)(Posterior(prior, Exact(prior), observation), 200, seed=3)
    assert int(weighted.resampled) == 0
    assert weighted.lowest_ess.item() > 100
    assert (
        float((weighted.log_evidence - Exact(prior).evidence(observation)).abs())
        < 4 * weighted.standard_error.item() + 10 / 100
    )


def test_without_resampling_the_weights_are_the_path_weights():
    """The twist cancels."""
    prior = mixture()
    posterior = Posterior(prior, DPS(0.5), measured(prior, n=2))
    weighted = smc(prior, 12, threshold=0.0)(posterior, 5, seed=[4, 8])
    paths = weigh(
        simulate(posterior, DDIM(12, eta=1.0, grid=UniformLogSNR()), 5, seed=[4, 8]), posterior
    )
    torch.testing.assert_close(weighted.x_0, paths.x_0)
    torch.testing.assert_close(weighted.log_weights, paths.log_weights, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(weighted.log_evidence, paths.log_evidence, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(weighted.standard_error, paths.standard_error, rtol=1e-5, atol=1e-7)
    assert weighted.ess_by_step.shape == (2, 13)


@pytest.mark.parametrize("make", [gaussian, mixture])
def test_the_standard_error_is_that_of_repetitions(make):
    """With resampling, over 100 runs; the spread of so many is known within 7 %, what they state
    varies by 10-20 %.
    """
    prior = make()
    observation = measured(prior, seed=1).take([0] * 100)  # one that 60 particles find
    weighted = smc(prior, 15)(Posterior(prior, NoConditioning(), observation), 60, seed=1)
    assert weighted.resampled.double().mean() > 1
    assert weighted.standard_error.median().item() == pytest.approx(
        weighted.log_evidence.std().item(), rel=0.25
    )


def test_a_system_depends_on_the_seed_of_its_observation_alone():
    prior = mixture()
    posterior = Posterior(
        prior, NoConditioning(), measured(prior, n=3, sigma_y=torch.tensor([0.1, 0.3, 1.0]))
    )
    sampler = smc(prior, 10)
    together = sampler(posterior, 20, seed=[5, 9, 7])
    assert bool((together.resampled > 0).any())
    close = {"rtol": 0, "atol": 1e-9}
    for other, rows in [
        (sampler(posterior.take([1]), 20, seed=[9]), [1]),
        (sampler(posterior.take([2, 0]), 20, seed=[7, 5]), [2, 0]),
        (sampler(posterior, 20, seed=[5, 9, 7], batch_size=7), [0, 1, 2]),
    ]:
        torch.testing.assert_close(other.x_0, together.x_0[rows], **close)
        torch.testing.assert_close(other.log_weights, together.log_weights[rows], **close)
        torch.testing.assert_close(other.log_evidence, together.log_evidence[rows], **close)
        assert torch.equal(other.resampled, together.resampled[rows])
    assert not torch.equal(sampler(posterior, 20, seed=[5, 9, 8]).x_0[2], together.x_0[2])


def test_a_learned_h_proposes():
    prior = images()
    h_transform = LearnedHTransform(
        prior.event_shape, prior.scale, channels=(8,), attention=(False,), patch=1
    ).double()
    observation = HTransformContract.observation(None, prior, 1)
    weighted = smc(prior, 100)(Posterior(prior, h_transform, observation), 1000, seed=0)
    assert weighted.x_0.shape == (1, 1000, 2, 4, 4)
    assert not weighted.x_0.requires_grad
    mean, covariance = Exact(prior).posterior(observation).moments()
    off = (weighted.mean() - mean).flatten() / covariance[0].diagonal().sqrt()
    assert float(off.square().mean().sqrt()) < 0.5  # one system of 32 dimensions, resampled often


def test_evaluations_are_counted_right():
    prior, calls = mixture(), []
    posterior = Posterior(prior, NoConditioning(), measured(prior))
    denoise = prior.denoise
    prior.denoise = lambda x_t, t: calls.append(len(x_t)) or denoise(x_t, t)
    steps = []
    smc(prior, 5)(posterior, 4, batch_size=3, on_step=steps.append)
    assert calls == [3, 1] * 5
    assert [state.step for state in steps] == [1, 2, 3, 4]
    assert smc(prior, 5).evaluations == 5


def test_one_step_is_importance_sampling_from_the_denoiser():
    prior = mixture()
    weighted = smc(prior, 1)(Posterior(prior, NoConditioning(), measured(prior)), 6)
    assert weighted.x_0.shape == (1, 6, 3)
    assert bool(weighted.log_evidence.isfinite())


def test_weights_that_collapse_are_in_the_result():
    """A tiny sigma_y and a proposal that does not know it, without resampling; with it, the
    collapse on the way is still told.
    """
    prior = mixture()
    posterior = Posterior(prior, NoConditioning(), measured(prior, sigma_y=1e-4, rows=3))
    for threshold in (0.0, 0.5):
        weighted = smc(prior, 20, threshold=threshold)(posterior, 50)
        assert bool(weighted.collapsed)
        assert "the weights collapsed" in str(weighted)


class Flat(Potential):
    def log_h(self, denoised, observation):
        return torch.zeros(len(denoised.x_t), dtype=denoised.x_t.dtype)


class BrokenAt(Potential):
    """Not finite from the middle of the grid on."""

    def log_h(self, denoised, observation):
        return (
            torch.where(denoised.log_snr > 0, math.nan, 0.0)
            .to(denoised.x_t)
            .expand(len(denoised.x_t))
        )


def test_weights_that_are_not_finite_stop_with_the_step():
    prior = mixture()
    posterior = Posterior(prior, NoConditioning(), measured(prior, n=2))
    first = (
        int((prior.schedule.log_snr(UniformLogSNR().times(prior.schedule, 8)) > 0).nonzero()[0]) + 1
    )
    with pytest.raises(
        WeightsNotFinite,
        match=f"4 of 4 log weights of observation 0 are not finite at step {first} of 8",
    ):
        TwistedSMC(BrokenAt(), 8)(posterior, 4)

    class Exploding(HTransform):
        def shift(self, denoised, observation):
            return math.inf * denoised.x_t

    with pytest.raises(WeightsNotFinite, match="at step 2 of 8"):
        TwistedSMC(Flat(), 8)(Posterior(prior, Exploding(), measured(prior)), 4)


def test_what_is_refused():
    prior = mixture()
    twist = GaussianPotential.for_prior(prior)
    with pytest.raises(
        InvalidInput,
        match=r"TwistedSMC needs steps with a density.*got eta = 0\. Deterministic samplers \(DDIM",
    ):
        TwistedSMC(twist, 10, eta=0.0)
    with pytest.raises(InvalidInput, match="threshold: got 2"):
        TwistedSMC(twist, 10, threshold=2.0)
    calls = []
    prior.denoise = lambda x_t, t: calls.append(t) or x_t
    sampler = TwistedSMC(twist, 10)
    with pytest.raises(
        InvalidInput,
        match=r"TwistedSMC needs a density.*sigma_y = 0 \(observation 0\).*use the sampler DDIM",
    ):
        sampler(Posterior(prior, NoConditioning(), measured(mixture(), sigma_y=0.0)), 10)
    with pytest.raises(InvalidInput, match="needs a Posterior"):
        sampler(prior, 10)
    with pytest.raises(InvalidInput, match="num_samples: got 1"):
        sampler(Posterior(prior, NoConditioning(), measured(mixture())), 1)
    assert not calls  # before anything is evaluated


def test_without_memory_it_says_which_batch_size_to_try():
    prior = mixture()
    posterior = Posterior(prior, NoConditioning(), measured(prior))

    def denoise(x_t, t):
        raise RuntimeError("CUDA out of memory")

    prior.denoise = denoise
    with pytest.raises(OutOfMemory, match="no room for 6 signals at once; try batch_size=3"):
        smc(prior, 3)(posterior, 6)
    assert measured(mixture()).y.dtype == DOUBLE


def test_samples_of_equal_weight_come_with_what_is_known_of_the_weights():
    prior = mixture()
    posterior = Posterior(prior, DPS(0.5), measured(prior, n=2))
    twisted = smc(prior, 8)
    drawn = ResampledSMC(twisted, 20).draw(posterior, 3, seed=[5, 9])
    weighted = twisted(posterior, 20, seed=[5, 9])
    assert drawn.x_0.shape == (2, 3, 3)
    torch.testing.assert_close(drawn.x_0, weighted.resample(3, seed=[5, 9]))
    assert list(drawn.weights) == weighted.card()
    alone = ResampledSMC(twisted, 20).draw(posterior.take([1]), 3, seed=[9], batch_size=7)
    torch.testing.assert_close(alone.x_0[0], drawn.x_0[1], rtol=0, atol=1e-9)
    assert ResampledSMC(twisted, 20).signals(3) == 20
    with pytest.raises(InvalidInput, match="at least two particles"):
        ResampledSMC(twisted, 1)
    with pytest.raises(InvalidInput, match="needs a Posterior"):
        ResampledSMC(twisted, 2).check(prior)
