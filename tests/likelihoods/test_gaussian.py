import pytest
import torch
from torch.distributions import Normal

from deft.errors import InvalidInput
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators import Blur, Identity, Inpainting, InUnits, SuperResolution, Tomography, views
from deft.operators.base import ForwardOperator
from deft.problems import RandomPixelMasks
from deft.types import expand
from tests.contracts.operator import dense

SHAPE = (2, 4, 6)


@pytest.fixture(autouse=True)
def _double_precision():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def mask(seeds):
    return RandomPixelMasks(0.5).draw(
        torch.empty(len(seeds), *SHAPE), Noise([50 + seed for seed in seeds])
    )


def kernel(seeds):
    rough = Noise([50 + seed for seed in seeds]).uniform(0, (3, 3))
    rough[:, 1, 1] += 4
    return rough / rough.sum((1, 2), keepdim=True)


OPERATORS = {
    "identity": lambda seeds: Identity(),
    "inpainting": lambda seeds: Inpainting(mask(seeds)),
    "average": lambda seeds: SuperResolution(2, SHAPE),
    "bicubic": lambda seeds: SuperResolution(2, SHAPE, kernel="bicubic"),
    "circular": lambda seeds: Blur(kernel(seeds), "circular"),
    "reflect": lambda seeds: Blur(kernel(seeds), "reflect"),
    "tomography": lambda seeds: Tomography(SHAPE[1:], views(9), pixel=0.3),
    "in_units": lambda seeds: InUnits(Inpainting(mask(seeds)), 0.5, 0.5),
}


@pytest.fixture(params=list(OPERATORS))
def make(request):
    return OPERATORS[request.param]


def observed(make, batch=3, sigma_y=0.3):
    x_0 = torch.randn(batch, *SHAPE)
    likelihood = GaussianLikelihood(make(range(batch)), sigma_y)
    return x_0, likelihood, likelihood.sample(x_0, Noise(range(batch)))


class TestLogProb:
    def test_it_is_the_normal_density_of_what_is_measured(self, make):
        sigma_y = torch.tensor([0.1, 0.5, 2.0])
        x_0, likelihood, y = observed(make, sigma_y=sigma_y)
        x = x_0 + 0.1 * torch.randn_like(x_0)
        where = likelihood.operator.observed(torch.ones_like(y))
        density = Normal(likelihood.operator(x), sigma_y.reshape(3, 1, 1, 1)).log_prob(y) * where
        torch.testing.assert_close(likelihood.log_prob(x, y), density.flatten(1).sum(1))

    def test_no_density_without_noise(self):
        x_0, likelihood, y = observed(OPERATORS["identity"], sigma_y=0.0)
        with pytest.raises(InvalidInput, match=r"sigma_y = 0"):
            likelihood.log_prob(x_0, y)

    def test_what_is_missing_does_not_count(self):
        x_0, likelihood, y = observed(OPERATORS["inpainting"])
        other = x_0 + (1 - mask(range(3))) * torch.randn_like(x_0)
        torch.testing.assert_close(likelihood.log_prob(other, y), likelihood.log_prob(x_0, y))


class TestGuidance:
    """x_0 ~ N(0, s^2 I), x_t = alpha_t x_0 + sigma_t eps, y = A x_0 + sigma_y n: both posteriors
    are Gaussian, in closed form.
    """

    @pytest.mark.parametrize("sigma_y", [0.3, 0.0])
    @pytest.mark.parametrize(("alpha_t", "sigma_t"), [(0.99, 0.05), (0.6, 0.8), (1.0, 20.0)])
    def test_the_shift_of_a_white_gaussian_prior(self, make, alpha_t, sigma_t, sigma_y):
        s = 0.7
        x_0, likelihood, y = observed(make, sigma_y=sigma_y)
        x_t = alpha_t * x_0 + sigma_t * torch.randn_like(x_0)
        x_0_hat = alpha_t * s**2 / (alpha_t**2 * s**2 + sigma_t**2) * x_t
        r_t = torch.tensor([s * sigma_t / (alpha_t**2 * s**2 + sigma_t**2) ** 0.5])
        shift = r_t * likelihood.guidance(x_0_hat, r_t, y)
        for i in range(3):
            alone = make([i])
            a = dense(alone.linear, SHAPE)
            residual = (y[i : i + 1] - alone(x_0_hat[i : i + 1])).flatten()
            evidence = a @ a.T * r_t**2 + sigma_y**2 * torch.eye(len(a))
            expected = (
                r_t**2
                * a.T
                @ torch.linalg.pinv(evidence, rtol=1e-12)
                @ alone.observed(residual.reshape(1, *y.shape[1:])).flatten()
            )
            torch.testing.assert_close(
                shift[i].flatten(), expected, atol=1e-6, rtol=1e-6
            )  # conjugate gradients

    @pytest.mark.parametrize("sigma_y", [0.0, 0.01, 0.5])
    @pytest.mark.parametrize("r_t", [0.01, 0.3, 1.0])
    def test_it_is_of_order_one(self, make, sigma_y, r_t):
        """Its standard deviation is at most 1: each singular value s contributes (r s)^2 / (r^2
        s^2 + sigma_y^2).
        """
        x_0, likelihood, y = observed(make, batch=20, sigma_y=sigma_y)
        x_0_hat = x_0 + r_t * torch.randn_like(x_0)
        spread = likelihood.guidance(x_0_hat, torch.full((20,), r_t), y).std()
        assert spread < 1.1  # 960 draws

    def test_without_noise_it_goes_to_the_measurement(self):
        x_0, likelihood, y = observed(OPERATORS["inpainting"], sigma_y=0.0)
        r_t, x_0_hat = torch.full((3,), 0.4), torch.randn_like(x_0)
        moved = x_0_hat + 0.4 * likelihood.guidance(x_0_hat, r_t, y)
        torch.testing.assert_close(mask(range(3)) * moved, y)
        torch.testing.assert_close((1 - mask(range(3))) * moved, (1 - mask(range(3))) * x_0_hat)

    def test_zero_where_the_estimate_fits(self, make):
        x_0, likelihood, _ = observed(make)
        guidance = likelihood.guidance(x_0, torch.ones(1), likelihood.operator(x_0))
        torch.testing.assert_close(guidance, torch.zeros_like(x_0))

    def test_a_batch_of_none(self, make):
        x_0, likelihood, y = observed(make, batch=0)
        assert likelihood.guidance(x_0, torch.ones(1), y).shape == x_0.shape
        assert likelihood.log_prob(x_0, y).shape == likelihood.misfit(x_0, y).shape == (0,)


class Squashed(ForwardOperator):
    """A linear map behind a curve: tanh(A x); with a slope of 0, A itself as a map that does not
    say that it is linear.
    """

    def __init__(self, a, bend=1.0):
        super().__init__()
        self.a, self.bend = a, bend

    def forward(self, x_0):
        linear = x_0.flatten(1) @ self.a.T
        return torch.tanh(self.bend * linear) / self.bend if self.bend else linear

    def lift(self, y):
        return y.reshape(-1, *SHAPE)


class Constant(Squashed):
    def forward(self, x_0):
        return torch.ones(len(x_0), 48)


class TestGuidanceOfWhatIsNotLinear:
    def rotation(self):
        return torch.linalg.qr(torch.randn(48, 48))[0]

    @pytest.mark.parametrize("sigma_y", [0.0, 0.3])
    @pytest.mark.parametrize("gain", [0.1, 1.0, 30.0])
    def test_exact_for_a_linear_map_with_one_singular_value(self, gain, sigma_y):
        x_0, r_t = torch.randn(3, *SHAPE), torch.tensor([0.05, 0.4, 1.0])
        x_0_hat, a = x_0 + expand(r_t, x_0) * torch.randn_like(x_0), gain * self.rotation()
        likelihood = GaussianLikelihood(Squashed(a, bend=0), sigma_y)
        y = likelihood.sample(x_0, Noise(range(3)))
        expected = (likelihood.residual(x_0_hat, y) @ a).reshape(3, *SHAPE) * expand(
            r_t / (r_t**2 * gain**2 + sigma_y**2), x_0
        )
        torch.testing.assert_close(likelihood.guidance(x_0_hat, r_t, y), expected)

    def test_the_gradient_of_the_tempered_likelihood(self):
        """Where r_t is small, A is straight: r_t J^T residual / (r_t^2 L^2 + sigma_y^2), with
        L^2 the curvature along the gradient.
        """
        x_0_hat, a, r_t = torch.randn(1, *SHAPE), torch.randn(20, 48) / 7, torch.tensor([1e-5])
        likelihood = GaussianLikelihood(Squashed(a), 1e-5)
        y = torch.tanh(x_0_hat.flatten(1) @ a.T) + 1e-5 * torch.randn(1, 20)
        jacobian = torch.autograd.functional.jacobian(likelihood.operator, x_0_hat).reshape(20, 48)
        gradient = likelihood.residual(x_0_hat, y) @ jacobian
        gain_2 = (gradient @ jacobian.T).square().sum() / gradient.square().sum()
        expected = r_t * gradient / (r_t**2 * gain_2 + 1e-10)
        torch.testing.assert_close(
            likelihood.guidance(x_0_hat, r_t, y).flatten(1), expected, rtol=1e-4, atol=0
        )

    @pytest.mark.parametrize("r_t", [0.002, 0.1, 1.0, 30.0])
    @pytest.mark.parametrize("sigma_y", [0.0, 0.01, 5.0])
    @pytest.mark.parametrize("bend", [0.1, 1.0, 100.0])
    def test_of_order_one(self, bend, sigma_y, r_t):
        x_0 = torch.randn(20, *SHAPE)
        likelihood = GaussianLikelihood(Squashed(torch.randn(20, 48), bend), sigma_y)
        y = likelihood.sample(x_0, Noise(range(20)))
        guidance = likelihood.guidance(x_0 + r_t * torch.randn_like(x_0), torch.full((20,), r_t), y)
        assert guidance.isfinite().all()
        assert guidance.square().mean() ** 0.5 < 3.001

    def test_each_signal_on_its_own(self):
        likelihood = GaussianLikelihood(Squashed(torch.randn(20, 48)), 0.1)
        x, y, r_t = torch.randn(3, *SHAPE), torch.randn(3, 20), torch.tensor([0.1, 0.5, 1.0])
        alone = [likelihood.guidance(x[i : i + 1], r_t[i : i + 1], y[i : i + 1]) for i in range(3)]
        torch.testing.assert_close(likelihood.guidance(x, r_t, y), torch.cat(alone))
        assert likelihood.guidance(x[:0], torch.ones(1), y[:0]).shape == (0, *SHAPE)

    def test_it_needs_no_graph_and_follows_one(self):
        likelihood = GaussianLikelihood(Squashed(torch.randn(20, 48)), 0.1)
        x, y, r_t = torch.randn(2, *SHAPE), torch.randn(2, 20), torch.full((1,), 0.5)
        expected = likelihood.guidance(x, r_t, y)
        assert not expected.requires_grad
        with torch.inference_mode():
            torch.testing.assert_close(likelihood.guidance(x, r_t, y), expected)
        x.requires_grad_()
        assert torch.autograd.grad(likelihood.guidance(x, r_t, y).sum(), x)[0].isfinite().all()

    def test_what_cannot_be_differentiated_is_refused(self):
        x = torch.ones(1, *SHAPE)
        with pytest.raises(InvalidInput, match="Constant cannot be differentiated"):
            GaussianLikelihood(Constant(torch.eye(48)), 0.1).guidance(
                x, torch.ones(1), torch.zeros(1, 48)
            )

    def test_zero_where_the_estimate_fits(self):
        likelihood, x = (
            GaussianLikelihood(Squashed(torch.randn(20, 48)), 0.0),
            torch.randn(2, *SHAPE),
        )
        assert torch.equal(
            likelihood.guidance(x, torch.ones(1), likelihood.operator(x)), torch.zeros_like(x)
        )


class TestMisfit:
    def test_one_at_the_truth(self, make):
        x_0, likelihood, y = observed(make, batch=40, sigma_y=0.3)
        assert abs(likelihood.misfit(x_0, y).mean() - 1) < 0.05

    def test_the_residual_without_noise(self):
        x_0, likelihood, y = observed(OPERATORS["inpainting"], sigma_y=0.0)
        torch.testing.assert_close(likelihood.misfit(x_0, y), torch.zeros(3))
        torch.testing.assert_close(likelihood.misfit(x_0 + 0.2, y), torch.full((3,), 0.2))


class TestObservation:
    def test_take_and_repeat(self, make):
        x_0, likelihood, y = observed(make, sigma_y=torch.tensor([0.1, 0.2, 0.4]))
        observation = Observation(y, likelihood)
        for index in ([2, 0, 2], torch.tensor([1]), torch.tensor([True, False, True]), []):
            taken, at = (
                observation.take(index),
                torch.arange(3)[index] if len(index) else torch.arange(0),
            )
            assert torch.equal(taken.y, y[at])
            assert torch.equal(taken.sigma_y, observation.sigma_y[at])
            torch.testing.assert_close(taken.residual(x_0[at]), observation.residual(x_0)[at])
        torch.testing.assert_close(
            observation.repeat(2).residual(x_0.repeat_interleave(2, 0)),
            observation.residual(x_0).repeat_interleave(2, 0),
        )

    def test_moving_gives_another_one(self, make):
        x_0, likelihood, y = observed(make)
        observation = Observation(y, likelihood)
        assert observation.to("meta").sigma_y.device.type == "meta"
        torch.testing.assert_close(observation.residual(x_0), y - likelihood.operator(x_0))

    def test_it_is_lifted_once(self, make, monkeypatch):
        _, likelihood, y = observed(make)
        observation, lifted = Observation(y, likelihood), likelihood.operator.lift(y)
        assert torch.equal(observation.lifted, lifted)
        monkeypatch.setattr(type(likelihood.operator), "lift", None)
        for index in ([2, 0, 2], torch.tensor([True, False, True]), []):
            assert torch.equal(
                observation.take(index).lifted, lifted[torch.arange(3)[index] if len(index) else []]
            )
        assert torch.equal(observation.repeat(2).lifted, lifted.repeat_interleave(2, 0))
        assert observation.to("meta").lifted.device.type == "meta"

    def test_one_noise_level_for_all(self):
        _, likelihood, y = observed(OPERATORS["identity"], sigma_y=0.3)
        assert Observation(y, likelihood).take([1, 1]).sigma_y.tolist() == [0.3]

    def test_a_sample_depends_on_its_seed(self, make):
        x_0, likelihood, y = observed(make)
        alone = likelihood.take([1]).sample(x_0[1:2], Noise([1]))
        torch.testing.assert_close(alone, y[1:2])
        torch.testing.assert_close(likelihood.operator.observed(y), y)


def test_a_negative_noise_level_is_refused():
    with pytest.raises(InvalidInput) as raised:
        GaussianLikelihood(Identity(), torch.tensor([0.1, -0.1]))
    assert raised.value.given == pytest.approx(-0.1)
