import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.base import NoConditioning
from deft.htransforms.cfg import ClassifierFree
from deft.htransforms.composed import Scaled
from deft.htransforms.exact import Exact
from deft.htransforms.labels import labelled
from deft.noise import Noise
from deft.posterior import Posterior
from deft.priors.callable import CallablePrior
from deft.samplers.ddim import DDIM
from deft.studies.counted import Counted
from deft.training.batch import Batch
from tests.closed_form import DOUBLE, gaussian, measured, mixture
from tests.contracts.htransform import HTransformContract
from tests.training import small


class TestClassifierFree(HTransformContract):
    reads_noise_level = False

    def h_transform(self, prior):
        return ClassifierFree(
            lambda x_t, t, observation: (
                prior.denoise(x_t, t) + 0.3 * observation.y * t[:, None, None, None]
            ),
            2.0,
        )


def point(n=2):
    prior = mixture()
    return (
        prior,
        prior.at(torch.randn(n, 3, dtype=DOUBLE), torch.tensor([0.4], dtype=DOUBLE)),
        measured(prior, n=n),
    )


def exact(prior):
    return lambda x_t, t, observation: Exact(prior).posterior(observation).denoise(x_t, t)


def test_with_weight_1_it_is_the_conditional_network():
    prior, denoised, observation = point()
    expected = Exact(prior).shift(denoised, observation)
    torch.testing.assert_close(ClassifierFree(exact(prior)).shift(denoised, observation), expected)
    torch.testing.assert_close(
        ClassifierFree(exact(prior), 3.0).shift(denoised, observation), 3 * expected
    )


@pytest.mark.parametrize("w", [0.0, 0.5, 4.0])
def test_the_published_update(w):
    """Equation 6: eps = (1 + w) eps(x_t, y) - w eps(x_t); one Gaussian, whose conditional noise
    prediction is known.
    """
    prior = gaussian()
    observation = measured(prior, n=2, sigma_y=0.25)
    t = torch.tensor([0.3, 0.7], dtype=DOUBLE)
    denoised = prior.at(torch.randn(2, 3, dtype=DOUBLE), t)

    def eps(x_t, t, observation):
        alpha_t, sigma_t = prior.levels(x_t, t)
        return (x_t - alpha_t * Exact(prior).posterior(observation).denoise(x_t, t)) / sigma_t

    posterior = Posterior(prior, ClassifierFree.from_eps(eps, 1 + w), observation)
    expected = (1 + w) * eps(denoised.x_t, t, observation) - w * denoised.eps_hat
    torch.testing.assert_close(posterior.at(denoised.x_t, t).eps_hat, expected)


class Embedding(torch.nn.Module):
    """A mean for each label."""

    def __init__(self):
        super().__init__()
        self.means = torch.nn.Parameter(
            torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=DOUBLE)
        )

    def forward(self, x_t, t, observation):
        assert t.shape == (len(x_t),)
        return self.means[observation.y.long()].expand_as(x_t)


def test_labels():
    prior = mixture()
    posterior = Posterior(prior, ClassifierFree(Embedding()), labelled(torch.tensor([1, 0])))
    x_0 = DDIM(3)(posterior, 2)
    torch.testing.assert_close(x_0[:, 0], Embedding().means.detach()[[1, 0]])
    torch.testing.assert_close(DDIM(3)(posterior.take([1]), 1)[0, 0], x_0[1, 0])


def test_cost():
    h = ClassifierFree(Embedding())
    assert not h.needs_prior_gradient
    assert (h.prior_gradients_per_step, h.network_evaluations_per_step, h.num_parameters) == (
        0,
        1,
        6,
    )
    assert (
        Scaled(ClassifierFree(lambda x_t, t, observation: x_t), 2.0).network_evaluations_per_step
        == 1
    )
    counted = Counted(mixture())
    Posterior(counted, h, labelled(torch.tensor([1, 0]))).denoise(
        torch.randn(2, 3, dtype=DOUBLE), torch.tensor([0.4], dtype=DOUBLE)
    )
    assert (counted.evaluations, counted.gradients) == (2, 0)


def test_a_black_box_prior_will_do():
    prior = mixture()
    black_box = CallablePrior(prior.denoise, prior.schedule, (3,), 1.0)
    x_t, t = torch.randn(2, 3, dtype=DOUBLE), torch.tensor([0.4], dtype=DOUBLE)
    observation = measured(prior, n=2)
    found = Posterior(black_box, ClassifierFree(exact(prior)), observation).denoise(x_t, t)
    torch.testing.assert_close(found, Exact(prior).posterior(observation).denoise(x_t, t))


def test_a_network_of_its_own_learns():
    """Trained by the same objective, its gradients go to the second network."""

    class Lifted(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = torch.nn.Parameter(torch.zeros(()))

        def forward(self, x_t, t, observation):
            return self.gain * observation.operator.lift(observation.y)

    h, prior, noise = ClassifierFree(Lifted()), small.prior(), Noise(range(8))
    loss = small.objective().loss(h, prior, Batch(small.images(8), noise))
    loss.value.mean().backward()
    assert h.conditional.gain.grad < 0
    assert (
        loss.value.shape
        == small.objective()
        .loss(NoConditioning(), prior, Batch(small.images(8), noise))
        .value.shape
    )


@pytest.mark.parametrize(
    ("wrong", "what"),
    [(lambda x_t, t, o: x_t[:, :2], r"\(2, 2\)"), (lambda x_t, t, o: None, "NoneType")],
)
def test_a_network_of_another_shape(wrong, what):
    _, denoised, observation = point()
    with pytest.raises(
        InvalidInput, match=rf"must return the shape of x_t, \(2, 3\); it returned {what}"
    ):
        ClassifierFree(wrong).shift(denoised, observation)
