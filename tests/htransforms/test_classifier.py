import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.classifier import Classifier
from deft.htransforms.exact import Exact, matrix_form
from deft.htransforms.labels import labelled
from deft.noise import Noise
from deft.posterior import Posterior
from deft.priors.callable import CallablePrior
from deft.samplers.ddim import DDIM
from deft.samplers.grids import UniformLogSNR, UniformTime
from deft.schedules import VE, RectifiedFlow, VPLinear, VPTabulated
from deft.steps import State
from deft.studies.counted import Counted
from deft.transitions import Steps, Transition
from deft.types import inner
from tests.closed_form import DOUBLE, gaussian, measured, mixture
from tests.contracts.htransform import HTransformContract
from tests.htransforms.test_pigdm import jacobian


def correlation(x_t, t, observation):
    """log p = <x_t, y> (1 - t)."""
    return inner(x_t, observation.y) * (1 - t)


class TestClassifier(HTransformContract):
    reads_noise_level = False

    def h_transform(self, prior):
        return Classifier(correlation, 0.5)


class TestPublished(HTransformContract):
    reads_noise_level = False

    def h_transform(self, prior):
        return Classifier.published(correlation, 0.5).on(
            Steps(prior.schedule, self.times(prior), 1.0)
        )

    def sampled(self, prior, grid):
        return Classifier.published(correlation, 0.5).on(
            Steps(prior.schedule, grid.times(prior.schedule, 4), 1.0)
        )


def fitted(prior):
    """p(y | x_t) for one Gaussian: N(y; A x_0_hat, A C A^T + sigma_y^2 I) with the covariance C
    of x_0 given x_t.
    """

    def log_prob(x_t, t, observation):
        a, _ = matrix_form(observation, (3,))
        alpha_t, sigma_t = prior.levels(x_t, t)
        c = torch.stack(
            [
                s**2 / al * jacobian(prior, each[None])
                for each, al, s in zip(t, alpha_t.flatten(), sigma_t.flatten())
            ]
        )
        total = a @ c @ a.mT + observation.sigma_y[:, None, None].double() ** 2 * torch.eye(
            a.shape[1], dtype=DOUBLE
        )
        mean = (a @ prior.denoise(x_t, t)[..., None])[..., 0]
        return torch.distributions.MultivariateNormal(mean, total).log_prob(observation.y)

    return log_prob


@pytest.mark.parametrize(
    "schedule", [VPLinear(), VE(0.01, 20), RectifiedFlow(0.01)], ids=lambda s: type(s).__name__
)
def test_exact_with_a_model_that_fits(schedule):
    prior = gaussian(schedule)
    observation = measured(prior, n=2, sigma_y=0.25)
    t = torch.tensor([0.3, 0.7], dtype=DOUBLE)
    denoised = prior.at(torch.randn(2, 3, dtype=DOUBLE), t)
    torch.testing.assert_close(
        Classifier(fitted(prior)).shift(denoised, observation),
        Exact(prior).shift(denoised, observation),
    )


def test_the_published_update_for_ddim():
    """Algorithm 2: eps_hat - s sigma_t grad log p(y | x_t)."""
    prior = gaussian()
    observation = measured(prior, n=2)
    t = torch.tensor([0.3, 0.7], dtype=DOUBLE)
    denoised = prior.at(torch.randn(2, 3, dtype=DOUBLE), t)
    gradient = (measured_y := torch.nn.functional.pad(observation.y, (0, 1))) * (1 - t[:, None])
    method = Classifier(lambda x_t, t, o: inner(x_t, measured_y) * (1 - t), 2.5)
    eps_hat = Posterior(prior, method, observation).at(denoised.x_t, t).eps_hat
    torch.testing.assert_close(eps_hat, denoised.eps_hat - 2.5 * denoised.sigma_t * gradient)


def test_the_published_ancestral_step():
    """Algorithm 1: the mean moves by s c^2 grad log p(y | x_t), with c^2 the variance of the
    step.
    """
    scale, schedule = 1.7, VPTabulated.linear(30, 1e-3, 0.3)
    prior = gaussian(schedule)
    observation = measured(prior, n=2, rows=3)
    sampler = DDIM(10, eta=1.0, grid=UniformTime())
    grid = sampler.grid.times(schedule, sampler.steps)
    posterior = Posterior(
        prior, Classifier.published(correlation, scale).on(Steps(schedule, grid, 1.0)), observation
    )
    noise = Noise([1, 2], dtype=DOUBLE)
    x_t = torch.randn(2, 3, dtype=DOUBLE)
    for k in range(len(grid)):
        t = grid[k : k + 1]
        if k + 1 == len(grid):
            torch.testing.assert_close(posterior.denoise(x_t, t), prior.denoise(x_t, t))
            break
        s = grid[k + 1 : k + 2]
        c = Transition.between(schedule, t, s, 1.0).c
        unconditional = sampler.step(prior, State(x_t, t, k), s, noise).x_t
        conditional = sampler.step(posterior, State(x_t, t, k), s, noise).x_t
        torch.testing.assert_close(
            conditional, unconditional + scale * c**2 * observation.y * (1 - t)
        )
        x_t = unconditional


class Net(torch.nn.Module):
    """Two classes, by the first coordinate."""

    def __init__(self):
        super().__init__()
        self.slope = torch.nn.Parameter(torch.tensor([3.0, -3.0], dtype=DOUBLE))

    def forward(self, x_t, t, observation):
        assert t.shape == (len(x_t),)
        log_prob = (x_t[:, :1] * self.slope).log_softmax(1)
        return log_prob.gather(1, observation.y.long()[:, None])[:, 0]


def test_labels_choose_the_mode():
    prior = mixture()  # modes with first coordinates 1 and -0.8
    posterior = Posterior(prior, Classifier(Net(), 3.0), labelled(torch.tensor([0, 1])))
    x_0 = DDIM(40, eta=1.0, grid=UniformLogSNR(high=6))(posterior, 60)
    assert x_0[0, :, 0].mean() > 0.5
    assert x_0[1, :, 0].mean() < -0.5


def test_the_classifier_is_differentiated_and_nothing_else():
    prior = mixture()
    counted = Counted(prior)
    h = Classifier(Net())
    assert not h.needs_prior_gradient
    assert (h.prior_gradients_per_step, h.network_evaluations_per_step, h.num_parameters) == (
        0,
        1,
        2,
    )
    observation = labelled(torch.tensor([1, 0]))
    x_t, t = torch.randn(2, 3, dtype=DOUBLE), torch.tensor([0.4], dtype=DOUBLE)
    shifted = Posterior(counted, h, observation).denoise(x_t, t)
    assert not shifted.requires_grad
    assert h.log_prob.slope.grad is None
    assert (counted.evaluations, counted.gradients) == (2, 0)
    black_box = CallablePrior(prior.denoise, prior.schedule, (3,), 1.0)
    torch.testing.assert_close(Posterior(black_box, h, observation).denoise(x_t, t), shifted)
    with torch.inference_mode():
        torch.testing.assert_close(Posterior(prior, h, observation).denoise(x_t, t), shifted)


def test_another_grid_is_an_error():
    prior = mixture()
    method = Classifier.published(Net(), 1.0).on(
        Steps(prior.schedule, UniformLogSNR().times(prior.schedule, 5), 1.0)
    )
    with pytest.raises(InvalidInput, match="tabulated for a grid of 5 times"):
        DDIM(6, eta=1.0, grid=UniformLogSNR())(
            Posterior(prior, method, labelled(torch.tensor([0]))), 1
        )


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (lambda x_t, t, o: x_t.sum(), r"it returned \(\)\."),
        (lambda x_t, t, o: x_t, r"it returned \(2, 3\)\."),
        (lambda x_t, t, o: 0.0, r"it returned float\."),
        (
            lambda x_t, t, o: torch.zeros(len(x_t)),
            r"it returned \(2,\), which does not depend on x_t\.",
        ),
    ],
)
def test_a_model_that_is_none(wrong, what):
    prior = mixture()
    denoised = prior.at(torch.randn(2, 3, dtype=DOUBLE), torch.tensor([0.4], dtype=DOUBLE))
    with pytest.raises(
        InvalidInput, match=rf"must return one log-probability per signal, \(2,\).*{what}"
    ):
        Classifier(wrong).shift(denoised, labelled(torch.tensor([0, 1])))
