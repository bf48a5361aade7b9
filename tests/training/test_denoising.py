import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.base import NoConditioning
from deft.htransforms.learned import LearnedHTransform
from deft.noise import Noise
from deft.priors.gaussian_mixture import GaussianMixture
from deft.problems import Deblurring, Fixed, Tomography
from deft.schedules import VE, VPLinear, VPTabulated
from deft.training.batch import Batch
from deft.training.denoising import DenoisingScoreMatching, TimeLaw
from tests.contracts.objective import ObjectiveContract
from tests.training import small


class White(ObjectiveContract):
    """For a white Gaussian prior an untrained LearnedHTransform is exact."""

    shape, scale = (1, 4, 4), 0.7

    def prior(self):
        mean = torch.linspace(-0.5, 0.5, 16).reshape(1, *self.shape)
        return GaussianMixture(mean, torch.tensor([self.scale**2]), None, VPLinear())

    def signals(self, n):
        mean = torch.linspace(-0.5, 0.5, 16).reshape(self.shape)
        return mean + self.scale * torch.randn(
            n, *self.shape, generator=torch.Generator().manual_seed(3)
        )

    def exact(self):
        torch.manual_seed(0)
        return LearnedHTransform(
            self.shape, self.scale, channels=(4, 4), patch=1, attention=(False, False)
        )

    def spoil(self, h):
        with torch.no_grad():
            h.nn2.layers[-1].bias.fill_(0.7)
        return h


class TestSpread(White):
    def objective(self):
        return DenoisingScoreMatching(Fixed(small.LeftHalf(), sigma_y=0.3))


class TestEps(White):
    def objective(self):
        return DenoisingScoreMatching(Fixed(small.LeftHalf(), sigma_y=(0.1, 0.5)), weighting="eps")


def test_weightings_differ_by_the_stated_factor():
    prior, h, x_0, noise = small.prior(), small.h_transform(), small.images(6), Noise(range(6))
    problem = Fixed(small.LeftHalf(), sigma_y=0.1)
    spread = DenoisingScoreMatching(problem).loss(h, prior, Batch(x_0, noise))
    eps = DenoisingScoreMatching(problem, weighting="eps").loss(h, prior, Batch(x_0, noise))
    snr = spread.shown["log_snr"].exp()
    r_2 = prior.scale**2 / (
        snr * prior.scale**2 + 1
    )  # r_t^2 = s^2 sigma_t^2 / (alpha_t^2 s^2 + sigma_t^2)
    torch.testing.assert_close(spread.value, eps.value / (snr * r_2), rtol=1e-4, atol=0)


def test_eps_is_equation_10():
    prior, h, x_0, noise = small.prior(), small.h_transform(), small.images(5), Noise(range(5))
    objective = DenoisingScoreMatching(Fixed(small.LeftHalf(), sigma_y=0.1), weighting="eps")
    loss = objective.loss(h, prior, Batch(x_0, noise))
    t = objective.times.draw(prior.schedule, noise.stream(2))
    eps = noise.stream(3).normal(0, x_0.shape[1:])
    alpha_t, sigma_t = prior.levels(x_0, t)
    denoised = prior.at(alpha_t * x_0 + sigma_t * eps, t)
    observation = objective.problem.draw(x_0, noise.stream(1))
    expected = (
        (denoised.eps_hat - sigma_t * h.grad_log_h(denoised, observation) - eps)
        .square()
        .flatten(1)
        .mean(1)
    )
    # at low noise x_0 - x_0_hat is a small difference, divided by sigma_t = 0.01
    torch.testing.assert_close(loss.value, expected, rtol=2e-3, atol=1e-6)


def test_untrained_loss_without_h_is_of_order_one():
    prior, x_0 = small.prior(), small.images(200, 5)
    loss = small.objective().loss(NoConditioning(), prior, Batch(x_0, Noise(range(200))))
    assert 0 < loss.shown["without"].mean() < 2


class TestTimeLaw:
    def test_moments(self):
        law, schedule = TimeLaw(mean=0.5, std=1.0, uniform=0.0), VPLinear()
        drawn = schedule.log_snr(law.draw(schedule, Noise(range(4000))))
        assert drawn.mean().item() == pytest.approx(0.5, abs=4 * 1.0 / 4000**0.5)
        assert drawn.std().item() == pytest.approx(1.0, abs=4 * 1.0 / 8000**0.5)

    def test_uniform_part_fills_the_range(self):
        law, schedule = TimeLaw(uniform=1.0, low=-6.0, high=4.0), VPLinear()
        drawn = schedule.log_snr(law.draw(schedule, Noise(range(4000))))
        counts = torch.histc(drawn, 5, -6, 4)
        assert (counts - 800).abs().max() < 5 * (800 * 0.8) ** 0.5
        assert drawn.min() > -6.01
        assert drawn.max() < 4.01

    def test_truncated_not_clamped(self):
        law, schedule = TimeLaw(mean=0.0, std=2.0, uniform=0.0, low=-1.0, high=1.0), VPLinear()
        drawn = schedule.log_snr(law.draw(schedule, Noise(range(1000))))
        assert ((drawn.abs() > 0.999).float().mean()) < 0.02

    def test_draws_are_times_that_the_network_knows(self):
        schedule = VPTabulated.linear(50)
        t = TimeLaw().draw(schedule, Noise(range(100)))
        assert torch.equal(t, schedule.snap(t))

    def test_each_schedule_sees_the_same_noise_levels(self):
        law = TimeLaw(low=-4.0, high=4.0)
        vp, ve = VPLinear(), VE()
        a, b = (s.log_snr(law.draw(s, Noise(range(50)))) for s in (vp, ve))
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)

    def test_errors(self):
        with pytest.raises(InvalidInput, match="the share of uniform draws"):
            TimeLaw(uniform=1.5)
        with pytest.raises(InvalidInput, match="schedule runs over"):
            TimeLaw(low=50.0).range(VPLinear())
        with pytest.raises(InvalidInput, match="'spread' or 'eps'"):
            DenoisingScoreMatching(Fixed(small.LeftHalf()), weighting="x")


def test_measurements_keep_their_precision_under_autocast():
    """Tomography is a sparse matrix, of which torch has no product in half precision."""
    prior, h, x_0 = small.prior(), small.h_transform(), small.images(2)
    for problem in (Tomography(views=3, sigma_y=0.1), Deblurring(border="reflect", sigma_y=0.1)):
        drawn = problem.draw(x_0, Noise(range(2)).stream(1)).y
        seen = []
        objective = DenoisingScoreMatching(problem)
        objective.loss_from = lambda h, scale, denoised, observation, x_0, seen=seen: seen.append(
            observation.y
        )
        with torch.autocast("cpu", torch.bfloat16):
            objective.loss(h, prior, Batch(x_0, Noise(range(2))))
        torch.testing.assert_close(seen[0], drawn)


def test_measurements_that_are_kept(monkeypatch):
    """Two for each signal: lifted once each, the same whenever they come, and the loss that a
    measurement of that seed has.
    """
    problem, h, prior, x_0 = (
        Fixed(small.LeftHalf(), sigma_y=0.1),
        small.h_transform(),
        small.prior(),
        small.images(3),
    )
    objective = DenoisingScoreMatching(problem, measurements=2)
    lifted, lift, seen = [], small.LeftHalf.lift, []
    monkeypatch.setattr(
        small.LeftHalf, "lift", lambda self, y: lifted.append(len(y)) or lift(self, y)
    )
    shift = h.shift
    monkeypatch.setattr(
        h,
        "shift",
        lambda denoised, observation: seen.append(observation) or shift(denoised, observation),
    )
    for seed in range(12):
        objective.loss(h, prior, Batch(x_0, Noise([seed, seed + 1, seed])))
    assert sum(lifted) == 6  # three signals, twice
    for observation in seen:
        torch.testing.assert_close(
            observation.lifted, lift(observation.operator, observation.y), rtol=1e-3, atol=1e-3
        )
    drawn = [
        torch.stack([observation.y[i] for observation in seen]).unique(dim=0) for i in range(3)
    ]
    assert [len(y) for y in drawn] == [2, 2, 2]
    assert objective.card()["measurements"] == 2
    with pytest.raises(InvalidInput, match="at least one, or None, afresh every time; got 0"):
        DenoisingScoreMatching(problem, measurements=0)
