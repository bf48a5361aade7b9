import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.base import HTransform, NoConditioning
from deft.metrics.orthogonality import slopes
from deft.noise import Noise
from deft.posterior import Posterior
from deft.priors.gaussian_mixture import GaussianMixture
from deft.problems import Inpainting
from deft.samplers.dpm_solver import DPMSolver
from deft.samplers.grids import UniformLogSNR
from deft.schedules import VPLinear
from deft.training import checkpoint
from deft.training.calibrate import calibrate
from tests.closed_form import DOUBLE
from tests.training import small

PROBLEM = Inpainting(masks="box", sigma_y=0.1)


class Timid(HTransform):
    """Half of what the prior says beyond zero: an estimate that follows x_t too little."""

    def shift(self, denoised, observation):
        return -0.5 * denoised.x_0_hat


def white(variance=0.3):
    """White images about zero, for which x_0_hat = k x_t / alpha_t."""
    return GaussianMixture(
        torch.zeros(1, 1, 8, 8, dtype=DOUBLE),
        variance * torch.eye(64, dtype=DOUBLE)[None],
        None,
        VPLinear(),
    )


def test_it_mends_an_estimate_whose_error_is_linear_in_x_t():
    """slope = (k - k / 2) / (1 - k / 2), with which k u / 2 + slope (u - k u / 2) = k u: the
    prior again, which is the posterior of a method that does not read y.
    """
    prior = white()
    images = prior.sample(Noise(range(400), dtype=DOUBLE))
    mended = calibrate(
        Timid(), prior, PROBLEM, images, low=-4.0, high=8.0, levels=13, progress=False
    )
    observation = PROBLEM.draw(images[:100], Noise(range(100), dtype=DOUBLE))
    for log_snr in (0.0, 4.0, 8.0):
        t = prior.schedule.time(torch.tensor([log_snr], dtype=DOUBLE))
        alpha_t, sigma_t = prior.levels(images[:100], t)
        x_t = alpha_t * images[:100] + sigma_t * Noise(range(900, 1000), dtype=DOUBLE).normal(
            0, prior.event_shape
        )
        right = prior.denoise(x_t, t)
        before = (Posterior(prior, Timid(), observation).denoise(x_t, t) - right).square().mean()
        after = (Posterior(prior, mended, observation).denoise(x_t, t) - right).square().mean()
        assert after < 0.05 * before


def test_samples_have_the_spread_that_was_missing():
    prior = white()
    images = prior.sample(Noise(range(400), dtype=DOUBLE))
    mended = calibrate(
        Timid(), prior, PROBLEM, images, low=-8.0, high=9.0, levels=18, progress=False
    )
    observation = PROBLEM.draw(images[:20], Noise(range(20), dtype=DOUBLE))
    sampler = DPMSolver(60, UniformLogSNR(high=9.0))
    spread = {
        h: float(sampler(Posterior(prior, h, observation), 8, seed=1).var())
        for h in (Timid(), mended)
    }
    narrow, wide = spread.values()
    assert narrow < 0.15
    assert wide == pytest.approx(0.3, rel=0.1)


def test_an_exact_estimate_is_left_alone():
    prior = white()
    images = prior.sample(Noise(range(100), dtype=DOUBLE))
    found = calibrate(NoConditioning(), prior, PROBLEM, images, levels=4, progress=False)
    observation = PROBLEM.draw(images, Noise(range(100), dtype=DOUBLE))
    for t in prior.schedule.time(found.levels)[:, None]:
        alpha_t, sigma_t = prior.levels(images, t)
        x_t = alpha_t * images + sigma_t * Noise(range(900, 1000), dtype=DOUBLE).normal(
            0, prior.event_shape
        )
        moved = Posterior(prior, found, observation).denoise(x_t, t) - prior.denoise(x_t, t)
        assert float(moved.square().mean()) < 0.005 * float(
            (images - prior.denoise(x_t, t)).square().mean()
        )
    assert bool((found.slopes[0] == 0).all())


def test_measured_again_nothing_is_left():
    prior = white()
    images = prior.sample(Noise(range(300), dtype=DOUBLE))
    mended = calibrate(Timid(), prior, PROBLEM, images, levels=4, progress=False)
    t = prior.schedule.time(mended.levels[2:3])
    alpha_t, sigma_t = prior.levels(images, t)
    x_t = alpha_t * images + sigma_t * Noise(range(5000, 5300), dtype=DOUBLE).normal(
        0, prior.event_shape
    )
    estimate = Posterior(
        prior, mended, PROBLEM.draw(images, Noise(range(300), dtype=DOUBLE))
    ).denoise(x_t, t)
    found = slopes(images, x_t, alpha_t, estimate, mended.edges)
    assert all(
        abs(value) < 5 * error
        for value, error in zip(found.values, found.standard_errors, strict=True)
    )


def test_a_file_keeps_the_slopes_and_what_is_inside(tmp_path):
    prior = small.prior()
    h = calibrate(small.h_transform(), prior, PROBLEM, small.images(8), levels=3, progress=False)
    h.slopes[1:] = torch.linspace(0, 1, h.slopes[1:].numel()).reshape(h.slopes[1:].shape)
    checkpoint.save(tmp_path / "h.safetensors", h, prior, {"problem": PROBLEM.card()})
    again, card = checkpoint.load(tmp_path / "h.safetensors", prior)
    assert not small.differing(again.state_dict(), h.state_dict())
    assert card["architecture"]["args"]["h_transform"]["class"] == "LearnedHTransform"
    assert again.levels.tolist() == h.levels.tolist()
    assert torch.equal(again.band, h.band)


def test_what_it_cannot_measure_is_refused():
    prior = white()
    images = prior.sample(Noise(range(3), dtype=DOUBLE))
    with pytest.raises(InvalidInput, match="got 1"):
        calibrate(Timid(), prior, PROBLEM, images[:1])
    with pytest.raises(InvalidInput, match=r"got \(12\.0, "):
        calibrate(Timid(), prior, PROBLEM, images, low=12.0, progress=False)
