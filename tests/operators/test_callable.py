import math

import numpy as np
import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.learned import LearnedHTransform
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators import CallableOperator
from deft.posterior import Posterior
from deft.priors.gaussian_mixture import GaussianMixture
from deft.samplers.ddim import DDIM
from deft.schedules import VPLinear
from tests.contracts.operator import OperatorContract


def gains(seeds):
    return 1 + Noise([7 + seed for seed in seeds]).uniform(0, (1, 1, 1))


def squash(x, gain):
    return torch.tanh(gain * x).sum(2)


def in_numpy(x, gain):
    return torch.as_tensor(np.sign(np.asarray(x)) * np.abs(np.asarray(gain * x)) ** 0.5).to(x)


def back(y, gain):
    return y.sign() * y.square() / gain


class TestDifferentiable(OperatorContract):
    event_shape = (2, 3, 4)

    def make(self, seeds):
        return CallableOperator(
            squash, self.event_shape, differentiable=True, parameters=[gains(seeds)]
        )


class TestBlackBox(OperatorContract):
    event_shape = (2, 3, 4)

    def make(self, seeds):
        return CallableOperator(in_numpy, self.event_shape, lift=back, parameters=[gains(seeds)])

    def test_gradients_pass(self):
        """They do not, and that is said."""
        operator, x = self.make([0]), self.signals(1).requires_grad_()
        with pytest.raises(
            InvalidInput, match=r"a derivative of .*in_numpy is needed.*Use LearnedHTransform"
        ):
            operator(x)


class TestOneForAll(OperatorContract):
    event_shape = (1, 6)

    def make(self, seeds):
        return CallableOperator(
            torch.square, self.event_shape, lift=torch.clone, differentiable=True
        )


class TestGuidance:
    def rotation(self, c):
        q = c * torch.linalg.qr(torch.randn(12, 12))[0]
        forward, inverse = (
            (lambda x: x.flatten(1) @ q.T),
            (lambda y: (y @ q / c**2).reshape(-1, 3, 4)),
        )
        return (
            q,
            CallableOperator(forward, (3, 4), lift=inverse),
            CallableOperator(forward, (3, 4), differentiable=True),
        )

    @pytest.mark.parametrize("sigma_y", [0.0, 0.3])
    @pytest.mark.parametrize("c", [0.2, 5.0])
    def test_exact_for_a_rotation_without_and_with_its_derivative(self, c, sigma_y):
        q, black, white = self.rotation(c)
        x, r_t = torch.randn(3, 3, 4), torch.tensor([0.4, 0.9, 1.0])
        y = black(x + 0.3 * torch.randn_like(x))
        expected = r_t[:, None] * ((y - black(x)) @ q) / (r_t[:, None] ** 2 * c**2 + sigma_y**2)
        for operator in (black, white):
            guidance = GaussianLikelihood(operator, sigma_y).guidance(x, r_t, y)
            torch.testing.assert_close(guidance.flatten(1), expected, rtol=1e-4, atol=1e-5)

    def test_zero_where_the_estimate_fits(self):
        _, black, white = self.rotation(1.0)
        for operator in (black, white):
            x = torch.randn(2, 3, 4)
            guidance = GaussianLikelihood(operator, 0.0).guidance(x, torch.ones(1), operator(x))
            assert torch.equal(guidance, torch.zeros_like(x))

    def test_the_lift_of_a_differentiable_one_is_a_gradient_step_from_zero(self):
        q, _, white = self.rotation(3.0)
        y = torch.randn(2, 12)
        torch.testing.assert_close(white.lift(y).flatten(1), y @ q / 9)


@pytest.mark.parametrize("differentiable", [False, True])
def test_a_learned_h_transform_reads_it(differentiable):
    prior = GaussianMixture(torch.randn(2, 1, 4, 4), torch.tensor([0.3, 0.5]), None, VPLinear())
    function = torch.tanh if differentiable else lambda x: torch.as_tensor(np.tanh(x.numpy()))
    operator = CallableOperator(
        function,
        (1, 4, 4),
        lift=None if differentiable else torch.clone,
        differentiable=differentiable,
    )
    likelihood = GaussianLikelihood(operator, 0.1)
    observation = Observation(
        likelihood.sample(prior.sample(Noise([0, 1])), Noise([2, 3])), likelihood
    )
    h = LearnedHTransform((1, 4, 4), prior.scale, channels=(4,), patch=1, attention=(False,))
    samples = DDIM(steps=3)(Posterior(prior, h, observation), num_samples=2, seed=0)
    assert samples.isfinite().all()


def test_a_module_stays_where_it_is():
    module = torch.nn.Linear(4, 2)
    operator = CallableOperator(module, (4,), differentiable=True)
    x = torch.randn(3, 4)
    observation = Observation(operator(x), GaussianLikelihood(operator, 0.1))
    assert not observation.y.requires_grad
    observation.to("meta")
    assert module.weight.device.type == "cpu"
    assert not list(operator.parameters())
    assert operator.name.endswith("Linear")


class TestWhatAFunctionReturns:
    def test_nan_is_named_with_its_place_in_the_batch(self):
        def holes(x):
            return torch.where(x > 0, x, math.nan * x)

        x = torch.ones(4, 2, 2)
        x[1, 0, 0] = x[3] = -1
        operator = CallableOperator(holes, (2, 2), differentiable=True)
        with pytest.raises(
            InvalidInput, match=r"holes returned NaN at the batch indices 1, 3 of 4\."
        ):
            operator(x)
        with pytest.raises(
            InvalidInput, match=r"log returned infinite numbers at the batch index 2 of 3\."
        ):
            CallableOperator(torch.log, (1,), differentiable=True)(
                torch.tensor([[1.0], [2.0], [0.0]])
            )

    def test_what_was_given_may_be_to_blame(self):
        with pytest.raises(InvalidInput, match="what it was given was not finite either"):
            CallableOperator(torch.tanh, (1,), differentiable=True)(torch.tensor([[math.nan]]))

    def test_a_derivative_that_is_not_finite(self):
        operator = CallableOperator(torch.sqrt, (2,), differentiable=True)
        x = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
        with pytest.raises(
            InvalidInput, match=r"the derivative of .*sqrt returned .* at the batch index 1 of 2"
        ):
            GaussianLikelihood(operator, 0.1).guidance(x, torch.ones(1), torch.ones(2, 2))

    @pytest.mark.parametrize(
        ("function", "says"),
        [
            (lambda x: x.numpy(), r"torch\.Tensor; it returned ndarray"),
            (
                lambda x: x[:1],
                r"a batch of 2 and must return as many; it returned the shape \(1, 3\)",
            ),
            (lambda x: x.sum(), r"it returned the shape \(\)"),
            (lambda x: x.double(), r"must return torch\.float32 .* it returned torch\.float64"),
        ],
    )
    def test_shapes_and_kinds(self, function, says):
        with pytest.raises(InvalidInput, match=says):
            CallableOperator(function, (3,), lift=torch.clone)(torch.ones(2, 3))

    def test_the_lift_is_a_signal(self):
        with pytest.raises(InvalidInput, match=r"signals of shape \(3,\); it returned \(2,\)"):
            CallableOperator(lambda x: x[:, :2], (3,), lift=torch.clone).lift(torch.ones(2, 2))

    def test_a_result_that_torch_cannot_follow(self):
        operator = CallableOperator(lambda x: x.detach() + 1, (3,), differentiable=True)
        with pytest.raises(InvalidInput, match="given as differentiable, but"):
            operator(torch.ones(1, 3, requires_grad=True))


def test_a_black_box_needs_a_lift():
    with pytest.raises(InvalidInput, match="give lift="):
        CallableOperator(torch.sign, (3,))
