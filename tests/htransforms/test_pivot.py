"""Where the prior is asked: the pivot is the centre of p(x_0 | x_t, y) for every prior, and the
untrained h is exact where theory says so.
"""

import math

import pytest
import torch
from jaxtyping import TypeCheckError

from deft.errors import InvalidInput
from deft.htransforms.base import HTransform, Potential, ask
from deft.htransforms.calibrated import Calibrated
from deft.htransforms.composed import Scaled, Sum
from deft.htransforms.exact import Exact
from deft.htransforms.learned import LearnedHTransform
from deft.htransforms.pigdm import PiGDM
from deft.htransforms.pivot import pivot
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators.blur import Blur
from deft.operators.identity import Identity
from deft.operators.inpainting import Inpainting
from deft.operators.matrix import Matrix
from deft.operators.super_resolution import SuperResolution
from deft.operators.units import InUnits
from deft.posterior import Posterior
from deft.priors.denoised import Asked, Denoised
from deft.priors.gaussian_mixture import GaussianMixture
from deft.problems import Denoising, HighDynamicRange
from deft.samplers.ddim import DDIM
from deft.schedules import EDM, VE, RectifiedFlow, VPCosine, VPLinear, VPTabulated
from deft.studies.counted import Counted
from deft.training.bank import Bank
from deft.training.denoising import DenoisingScoreMatching
from deft.training.sources import Images
from tests.closed_form import DOUBLE
from tests.contracts.htransform import HTransformContract
from tests.contracts.learning import LearningContract

TIMES = torch.tensor([0.02, 0.3, 0.6, 0.9, 1.0], dtype=DOUBLE)
SHAPE = (2, 4, 6)
KERNEL = torch.tensor([[[0.1, 0.2, 0.1], [0.1, 0.2, 0.1], [0.0, 0.2, 0.0]]], dtype=DOUBLE)


def twice_the_same():
    """Three looks at four entries, of which one is a multiple of another: AA^T has no inverse."""
    a = torch.randn(2, 48, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    return Matrix(torch.stack([a[0], a[1], 2 * a[0]])[None], SHAPE)


OPERATORS = {
    "identity": Identity,
    "pixels": lambda: Inpainting((Noise([3], dtype=DOUBLE).uniform(0, (1, 4, 6)) < 0.4).double()),
    "averages": lambda: SuperResolution(2, SHAPE),
    "blur": lambda: Blur(KERNEL, "circular"),
    "blur with reflecting edges": lambda: Blur(KERNEL, "reflect"),
    "in units": lambda: InUnits(SuperResolution(2, SHAPE), 3.0, -7.0),
    "rank-deficient": twice_the_same,
}


def made(prior, where):
    return LearnedHTransform(
        prior.event_shape,
        prior.scale,
        point=where,
        channels=(4, 4),
        patch=1,
        attention=(False, False),
    ).to(DOUBLE)


def white(schedule, mean=0.4):
    means = mean + 0.5 * torch.randn(
        1, *SHAPE, dtype=DOUBLE, generator=torch.Generator().manual_seed(1)
    )
    return GaussianMixture(means, torch.tensor([0.36], dtype=DOUBLE), None, schedule)


def mixture(schedule):
    means = torch.randn(3, *SHAPE, dtype=DOUBLE, generator=torch.Generator().manual_seed(2))
    return GaussianMixture(
        means, torch.tensor([0.05, 0.2, 0.1], dtype=DOUBLE), torch.tensor([0.2, 0.5, 0.3]), schedule
    )


def observed(prior, operator, sigma_y):
    """Three observations of one operator, and the signals."""
    noise = Noise(range(3), dtype=DOUBLE)
    likelihood = GaussianLikelihood(operator.double(), torch.as_tensor(sigma_y, dtype=DOUBLE))
    x_0 = prior.sample(noise)
    return Observation(likelihood.sample(x_0, noise.stream(1)), likelihood), x_0


def at(prior, x_0, t):
    alpha_t, sigma_t = prior.levels(x_0, t)
    return alpha_t * x_0 + sigma_t * Noise(range(len(x_0)), dtype=DOUBLE).stream(9).normal(
        0, prior.event_shape
    )


class _AtThePivot(HTransformContract, LearningContract):
    where = "pivot"

    def made(self, prior):
        return LearnedHTransform(
            prior.event_shape,
            prior.scale,
            point=self.where,
            channels=(4, 6),
            attention=(False, False),
        )

    def h_transform(self, prior):
        torch.manual_seed(0)
        return self.made(prior).double()


class TestAtThePivot(_AtThePivot):
    where = "pivot"


class TestAtTheMatchedLevel(_AtThePivot):
    where = "matched"


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
@pytest.mark.parametrize("sigma_y", [0.0, 0.05, 2.0])
@pytest.mark.parametrize(
    "schedule", [VPLinear(), VE(0.01, 20), RectifiedFlow(0.01)], ids=lambda s: type(s).__name__
)
@pytest.mark.parametrize("where", ["pivot", "matched"])
def test_untrained_it_is_exact_for_a_white_gaussian(where, schedule, sigma_y, operator):
    """y counts once: NN1 = 0 and NN2 = 1, at every time, for every operator, without noise and
    without full rank.
    """
    prior = white(schedule)
    observation, x_0 = observed(prior, operator(), sigma_y)
    posterior, exact = (
        Posterior(prior, made(prior, where), observation),
        Posterior(prior, Exact(prior), observation),
    )
    for t in TIMES.split(1):
        x_t = at(prior, x_0, t)
        torch.testing.assert_close(
            posterior.denoise(x_t, t), exact.denoise(x_t, t), rtol=0, atol=1e-4
        )  # conjugate gradients


@pytest.mark.parametrize(
    "schedule", [VPCosine(), EDM(), RectifiedFlow(0.01)], ids=lambda s: type(s).__name__
)
@pytest.mark.parametrize("sigma_y", [0.05, 0.5, 2.0])
def test_denoising_is_exact_for_every_prior_at_the_matched_level(schedule, sigma_y):
    prior = mixture(schedule)
    observation, x_0 = observed(prior, Identity(), sigma_y)
    posterior, exact = (
        Posterior(prior, made(prior, "matched"), observation),
        Posterior(prior, Exact(prior), observation),
    )
    for t in TIMES.split(1):
        x_t = at(prior, x_0, t)
        torch.testing.assert_close(
            posterior.denoise(x_t, t), exact.denoise(x_t, t), rtol=0, atol=1e-6
        )


def table(levels):
    """The same noise levels in so many steps."""
    return VPTabulated([10.0 / levels] * levels)


def test_with_a_table_it_is_exact_up_to_its_spacing():
    """The error falls with the spacing, and the network is asked at times that it knows."""
    errors = []
    for levels in (50, 200, 800):
        prior = mixture(table(levels))
        observation, x_0 = observed(prior, Identity(), 0.4)
        h_transform = made(prior, "matched")
        t = prior.schedule.snap(torch.tensor([0.6], dtype=DOUBLE))
        x_t = at(prior, x_0, t)
        _, there = h_transform.point(prior, x_t, t, observation)
        assert torch.equal(prior.schedule.snap(there), there)
        exact = Posterior(prior, Exact(prior), observation).denoise(x_t, t)
        errors.append(
            float(
                (Posterior(prior, h_transform, observation).denoise(x_t, t) - exact)
                .abs()
                .max()
                .detach()
            )
        )
    assert errors[2] < 0.3 * errors[0]
    assert errors[2] < 0.02


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
def test_the_pivot_is_the_centre_of_both_looks(operator):
    """m maximises p(x_t | x_0) p(y | x_0), and L is the precision there: against dense matrices."""
    prior, sigma_y = mixture(VPCosine()), 0.3
    observation, x_0 = observed(prior, operator(), sigma_y)
    d = math.prod(prior.event_shape)
    basis = torch.eye(d, dtype=DOUBLE).reshape(d, *SHAPE)
    a = torch.stack([observation.operator.linear(e[None])[0].flatten() for e in basis], 1)
    y = observation.operator.residual(torch.zeros_like(x_0), observation.y).flatten(1)
    t = torch.tensor([0.5], dtype=DOUBLE)
    x_t = at(prior, x_0, t)
    alpha_t, sigma_t = (float(v) for v in (prior.schedule.alpha(t), prior.schedule.sigma(t)))
    v2 = (sigma_t / alpha_t) ** 2
    precision = torch.eye(d, dtype=DOUBLE) / v2 + a.T @ a / sigma_y**2
    centre = torch.linalg.solve(
        precision, x_t.flatten(1).T / (alpha_t * v2) + a.T @ y.T / sigma_y**2
    ).T
    x, there = pivot(prior, x_t, t, observation, observation.operator, matched=False)
    assert there is t
    torch.testing.assert_close(x.flatten(1) / alpha_t, centre, rtol=0, atol=1e-5)
    x, there = pivot(prior, x_t, t, observation, observation.operator, matched=True)
    alpha_s, sigma_s = prior.levels(x, there)
    torch.testing.assert_close((x / alpha_s).flatten(1), centre, rtol=0, atol=1e-5)
    right = float(torch.linalg.inv(precision).diagonal().mean())
    found = float((sigma_s / alpha_s).square().flatten()[0])
    assert abs(found / right - 1) < 0.35  # one draw of signs in 48 dimensions
    assert right < v2


def test_the_noise_end_is_finite_in_single_precision():
    """x_t / alpha_t is 10^4 there."""
    for schedule in (VPLinear(), VE(0.01, 1000.0), RectifiedFlow(1e-4)):
        prior = white(schedule).float()
        observation, x_0 = observed(white(schedule), SuperResolution(2, SHAPE), 0.05)
        observation, x_0 = observation.in_dtype(torch.float32), x_0.float()
        t = torch.ones(1)
        x_t = at(white(schedule), x_0.double(), t.double()).float()
        exact = Posterior(
            white(schedule), Exact(white(schedule)), observation.in_dtype(DOUBLE)
        ).denoise(x_t.double(), t.double())
        for where in ("pivot", "matched"):
            found = Posterior(prior, made(prior, where).float(), observation).denoise(x_t, t)
            torch.testing.assert_close(found.double(), exact, rtol=0, atol=2e-3)


@pytest.mark.parametrize("where", ["pivot", "matched"])
def test_the_posterior_is_differentiable_through_the_point(where):
    prior = mixture(VPCosine())
    observation, x_0 = observed(prior, SuperResolution(2, SHAPE), 0.3)
    posterior, t = (
        Posterior(prior, made(prior, where), observation),
        torch.tensor([0.5], dtype=DOUBLE),
    )
    x_t = at(prior, x_0, t).requires_grad_()
    direction = torch.randn_like(x_0)
    (found,) = torch.autograd.grad((posterior.denoise(x_t, t) * x_0).sum(), x_t)
    step = 1e-5 * direction
    with torch.no_grad():
        slope = (
            (posterior.denoise(x_t + step, t) - posterior.denoise(x_t - step, t)) * x_0
        ).sum() / 2e-5
    torch.testing.assert_close((found * direction).sum(), slope, rtol=1e-5, atol=1e-5)


def test_parts_are_of_x_t_and_cost_one_more_evaluation():
    prior = Counted(mixture(VPCosine()))
    observation, x_0 = observed(prior.prior, SuperResolution(2, SHAPE), 0.3)
    posterior, t = (
        Posterior(prior, made(prior.prior, "matched"), observation),
        torch.tensor([0.5], dtype=DOUBLE),
    )
    x_t = at(prior, x_0, t)
    estimate = posterior.denoise(x_t, t)
    assert prior.evaluations == 3
    denoised, shift = posterior.parts(x_t, t)
    assert prior.evaluations == 9
    assert isinstance(denoised, Denoised)
    assert torch.equal(denoised.x_t, x_t)
    torch.testing.assert_close(denoised.x_0_hat, prior.prior.denoise(x_t, t))
    torch.testing.assert_close(denoised.x_0_hat + shift, estimate)
    assert prior.evaluations == 9


def test_what_was_asked_elsewhere_has_no_score():
    prior = mixture(VPCosine())
    observation, x_0 = observed(prior, SuperResolution(2, SHAPE), 0.3)
    t = torch.tensor([0.5], dtype=DOUBLE)
    asked = ask(made(prior, "matched"), prior, at(prior, x_0, t), t, observation)
    assert isinstance(asked, Asked)
    for name in ("score", "eps_hat", "gradient", "vjp"):
        assert not hasattr(asked, name)


class Wandering(Potential):
    """A density at another point: its gradient would be taken through the way there."""

    def point(self, prior, x_t, t, observation):
        return 0.5 * x_t, t

    def log_h(self, denoised, observation):
        return denoised.x_0_hat.flatten(1).sum(1)


def test_what_has_no_meaning_there_is_refused():
    prior = mixture(VPCosine())
    observation, x_0 = observed(prior, SuperResolution(2, SHAPE), 0.3)
    h_transform, t = made(prior, "pivot"), torch.tensor([0.5], dtype=DOUBLE)
    given = "an h-transform that asks the prior at another point than x_t"
    for attempt in (
        lambda: Scaled(h_transform, 2.0),
        lambda: Sum(PiGDM(), h_transform),
        lambda: Sum(Calibrated(h_transform, SHAPE, low=0.0, high=2.0), PiGDM()),
        lambda: h_transform.grad_log_h(prior.at(at(prior, x_0, t), t), observation),
        lambda: Posterior(prior, Wandering(), observation),
    ):
        with pytest.raises(InvalidInput) as caught:
            attempt()
        assert caught.value.given == given
        assert caught.value.advice


def test_measurements_that_are_not_linear_and_gaussian_are_refused():
    prior = mixture(VPCosine())
    _, x_0 = observed(prior, Identity(), 0.3)
    high = HighDynamicRange(sigma_y=0.1).draw(x_0, Noise(range(3), dtype=DOUBLE))
    with pytest.raises(InvalidInput) as caught:
        Posterior(prior, made(prior, "pivot"), high)
    assert caught.value.given == "HighDynamicRange"
    assert "point='x_t'" in str(caught.value.advice)


def test_a_place_that_there_is_not():
    with pytest.raises((InvalidInput, TypeCheckError)):
        LearnedHTransform(SHAPE, 1.0, point="middle")


def test_calibrated_slopes_hold_there():
    """Only the estimate enters: the error of E[x_0 | x_t, y] is orthogonal to x_t wherever the
    prior was asked.
    """
    prior = mixture(VPCosine())
    observation, x_0 = observed(prior, SuperResolution(2, SHAPE), 0.3)
    t = torch.tensor([0.3], dtype=DOUBLE)
    x_t = at(prior, x_0, t)
    inner = made(prior, "matched")
    low, high = float(prior.schedule.log_snr(t)) - 1, float(prior.schedule.log_snr(t)) + 1
    calibrated = Calibrated(inner, SHAPE, low=low, high=high, levels=2).to(DOUBLE)
    calibrated.slopes.fill_(0.25)
    estimate = Posterior(prior, inner, observation).denoise(x_t, t)
    expected = estimate + 0.25 * (x_t / prior.schedule.alpha(t) - estimate)
    torch.testing.assert_close(Posterior(prior, calibrated, observation).denoise(x_t, t), expected)


def test_training_asks_the_prior_there(monkeypatch):
    """The loss at the exact shift of a white Gaussian is the posterior's own variance, in units
    of r_t.
    """
    prior = white(VPCosine())
    x_0 = prior.sample(Noise(range(400), dtype=DOUBLE))
    batch = Images(x_0, prior).batch(range(400), Noise(range(400), dtype=DOUBLE))
    objective = DenoisingScoreMatching(Denoising(sigma_y=0.5))
    losses = {
        where: objective.loss(made(prior, where), prior, batch)
        for where in ("x_t", "pivot", "matched")
    }
    for where in ("pivot", "matched"):
        torch.testing.assert_close(losses[where].value, losses["x_t"].value, rtol=0, atol=1e-6)
        assert float(losses[where].shown["without"].mean()) < float(
            losses["x_t"].shown["without"].mean()
        )


def test_a_bank_is_of_x_t():
    prior = white(VPCosine())
    bank = Bank.build(prior, prior.sample(Noise(range(20), dtype=DOUBLE)), 20, progress=False)
    batch = bank.batch(range(4), Noise(range(4), dtype=DOUBLE))
    with pytest.raises(InvalidInput) as caught:
        DenoisingScoreMatching(Denoising(sigma_y=0.5)).loss(made(prior, "pivot"), prior, batch)
    assert "images" in str(caught.value.advice)


def test_a_sampler_draws_the_posterior_of_denoising_untrained():
    """E[x_0 | y] and its spread, with a mixture: 4 standard errors."""
    prior = mixture(VPCosine())
    observation, _ = observed(prior, Identity(), 0.5)
    drawn = DDIM(60, eta=1.0)(Posterior(prior, made(prior, "matched"), observation), 300, seed=0)
    mean, covariance = Exact(prior).posterior(observation).moments()
    for i in range(3):
        spread = covariance[i].diagonal().sqrt()
        off = (drawn[i].mean(0).flatten() - mean[i].flatten()) / (spread / 300**0.5)
        assert float(off.abs().max()) < 5
        torch.testing.assert_close(drawn[i].flatten(1).std(0), spread, rtol=0.25, atol=0)


def test_by_default_nothing_moves():
    class Plain(HTransform):
        def shift(self, denoised, observation):
            return 0 * denoised.x_0_hat

    assert not Plain().asks_elsewhere
    assert not LearnedHTransform(SHAPE, 1.0).asks_elsewhere
    assert "point" not in LearnedHTransform(SHAPE, 1.0).config
    assert LearnedHTransform(SHAPE, 1.0, point="pivot").config["point"] == "pivot"
