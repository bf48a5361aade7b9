import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.base import DataConsistency, NoConditioning, Potential
from deft.htransforms.composed import Scaled, Sum
from deft.htransforms.dps import DPS
from deft.htransforms.exact import Exact
from deft.posterior import Posterior
from deft.types import inner
from tests.closed_form import DOUBLE, measured, mixture
from tests.contracts.htransform import HTransformContract


class TestNoConditioning(HTransformContract):
    def h_transform(self, prior):
        return NoConditioning()


class TestSum(HTransformContract):
    def h_transform(self, prior):
        return Sum(Exact(prior), NoConditioning(), Scaled(Exact(prior), -0.5))


class TestSumWithGradients(HTransformContract):
    reads_noise_level = False

    def h_transform(self, prior):
        return Sum(Exact(prior), DPS(0.2))


class TestScaled(HTransformContract):
    def h_transform(self, prior):
        return Scaled(Exact(prior), 1.5)


class Bowl(Potential):
    """log h = -||x_t||^2 / 2 - ||x_0_hat||^2 / 2."""

    def log_h(self, denoised, observation):
        return -0.5 * (
            inner(denoised.x_t, denoised.x_t) + inner(denoised.x_0_hat, denoised.x_0_hat)
        )


class Half(DataConsistency):
    def consistent(self, denoised, observation):
        return 0.5 * denoised.x_0_hat


def point(requires_grad=False):
    prior = mixture()
    x_t = torch.randn(2, 3, dtype=DOUBLE, requires_grad=requires_grad)
    return prior, prior.at(x_t, torch.tensor([0.3, 0.6], dtype=DOUBLE)), measured(prior, n=2)


def test_no_conditioning_is_the_prior():
    prior, denoised, observation = point()
    assert torch.equal(
        Posterior(prior, NoConditioning(), observation).denoise(denoised.x_t, denoised.t),
        denoised.x_0_hat,
    )


def test_a_potential_is_differentiated_through_the_prior():
    _, denoised, observation = point(requires_grad=True)
    again = point_again(denoised)
    expected = -(denoised.x_t + again.vjp(again.x_0_hat))
    torch.testing.assert_close(Bowl().grad_log_h(denoised, observation), expected)
    assert Bowl().needs_prior_gradient


def point_again(denoised):
    return mixture().at(denoised.x_t, denoised.t)


def test_data_consistency_shifts_to_the_new_estimate():
    _, denoised, observation = point()
    torch.testing.assert_close(Half().shift(denoised, observation), -0.5 * denoised.x_0_hat)
    assert not Half().needs_prior_gradient


def test_a_sum_is_the_product_of_its_parts():
    prior, denoised, observation = point()
    exact = Exact(prior)
    a, b = exact.shift(denoised, observation), Half().shift(denoised, observation)
    torch.testing.assert_close(
        Sum(exact, Half(), Scaled(Half(), 3.0)).shift(denoised, observation), a + 4 * b
    )
    torch.testing.assert_close(Scaled(exact, 0.0).shift(denoised, observation), torch.zeros_like(a))


def test_gradients_of_the_prior_are_asked_for_where_a_part_needs_them():
    assert not Sum(Half(), NoConditioning()).needs_prior_gradient
    assert Sum(Half(), DPS(1.0)).needs_prior_gradient
    assert Scaled(DPS(1.0), 2.0).needs_prior_gradient
    assert not Scaled(Half(), 2.0).needs_prior_gradient


class Costly(Half):
    needs_prior_gradient = True

    @property
    def prior_gradients_per_step(self):
        return 4

    @property
    def network_evaluations_per_step(self):
        return 2

    def check(self, prior, observation):
        raise InvalidInput("Costly takes nothing.")


class Depends(Half):
    needs_prior_gradient = True

    @property
    def prior_gradients_per_step(self):
        return None


def test_the_cost_is_that_of_the_parts():
    assert (Half().prior_gradients_per_step, Half().network_evaluations_per_step) == (0, 0)
    assert DPS(1.0).prior_gradients_per_step == 1
    both = Sum(Costly(), DPS(1.0), Scaled(Costly(), 2.0))
    assert (both.prior_gradients_per_step, both.network_evaluations_per_step) == (9, 4)
    assert Sum(Costly(), Depends()).prior_gradients_per_step is None


@pytest.mark.parametrize(
    "method",
    [Costly(), Sum(Half(), Costly()), Scaled(Costly(), 2.0)],
    ids=lambda h: type(h).__name__,
)
def test_what_does_not_apply_is_refused_by_the_posterior(method):
    prior = mixture()
    with pytest.raises(InvalidInput, match="Costly takes nothing"):
        Posterior(prior, method, measured(prior))


def test_parameters_are_those_of_the_parts():
    part = Half()
    part.weight = torch.nn.Parameter(torch.zeros(3, 4))
    assert Sum(part, NoConditioning()).num_parameters == Scaled(part, 2.0).num_parameters == 12
    assert part.network_evaluations_per_step == 1
    assert NoConditioning().num_parameters == 0


def test_a_sum_of_nothing():
    with pytest.raises(InvalidInput, match="at least one"):
        Sum()
