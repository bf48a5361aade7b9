import pytest
import torch
from torch.distributions import Normal

from deft.errors import InvalidInput
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators import Blur, Identity, Inpainting, InUnits, RandomPixelMasks, SuperResolution
from deft.operators.base import ForwardOperator
from tests.contracts.operator import dense

SHAPE = (2, 4, 6)


@pytest.fixture(autouse=True)
def _double_precision():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def mask(seeds):
    return RandomPixelMasks(0.5).draw(torch.empty(len(seeds), *SHAPE), Noise([50 + seed for seed in seeds]))


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
    "in_units": lambda seeds: InUnits(Inpainting(mask(seeds)), 0.5, 0.5),
}


@pytest.fixture(params=list(OPERATORS))
def make(request):
    return OPERATORS[request.param]


class Square(ForwardOperator):
    """Not linear."""

    def forward(self, x_0):
        return x_0**2

    def lift(self, y):
        return y.sqrt()


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
    """x_0 ~ N(0, s^2 I), x_t = alpha_t x_0 + sigma_t eps, y = A x_0 + sigma_y n: both posteriors are Gaussian, in closed form."""

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
            expected = r_t**2 * a.T @ torch.linalg.pinv(evidence, rtol=1e-12) @ alone.observed(residual.reshape(1, *y.shape[1:])).flatten()
            torch.testing.assert_close(shift[i].flatten(), expected, atol=1e-6, rtol=1e-6)  # conjugate gradients

    @pytest.mark.parametrize("sigma_y", [0.0, 0.01, 0.5])
    @pytest.mark.parametrize("r_t", [0.01, 0.3, 1.0])
    def test_it_is_of_order_one(self, make, sigma_y, r_t):
        """Its standard deviation is at most 1: each singular value s contributes (r s)^2 / (r^2 s^2 + sigma_y^2)."""
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

    def test_only_linear_operators_have_it(self):
        x = torch.ones(1, *SHAPE)
        with pytest.raises(InvalidInput, match="Square is not linear"):
            GaussianLikelihood(Square(), 0.1).guidance(x, torch.ones(1), x)


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
            taken, at = observation.take(index), torch.arange(3)[index] if len(index) else torch.arange(0)
            assert torch.equal(taken.y, y[at])
            assert torch.equal(taken.sigma_y, observation.sigma_y[at])
            torch.testing.assert_close(taken.residual(x_0[at]), observation.residual(x_0)[at])
        torch.testing.assert_close(
            observation.repeat(2).residual(x_0.repeat_interleave(2, 0)), observation.residual(x_0).repeat_interleave(2, 0)
        )

    def test_moving_gives_another_one(self, make):
        x_0, likelihood, y = observed(make)
        observation = Observation(y, likelihood)
        assert observation.to("meta").sigma_y.device.type == "meta"
        torch.testing.assert_close(observation.residual(x_0), y - likelihood.operator(x_0))

    def test_one_noise_level_for_all(self):
        _, likelihood, y = observed(OPERATORS["identity"], sigma_y=0.3)
        assert Observation(y, likelihood).take([1, 1]).sigma_y.tolist() == [0.3]

    def test_a_sample_depends_on_its_seed(self, make):
        x_0, likelihood, y = observed(make)
        alone = likelihood.take([1]).sample(x_0[1:2], Noise([1]))
        torch.testing.assert_close(alone, y[1:2])
        torch.testing.assert_close(likelihood.operator.observed(y), y)


def test_a_negative_noise_level_is_refused():
    with pytest.raises(InvalidInput, match=r"must be >= 0; got -0\.1"):
        GaussianLikelihood(Identity(), torch.tensor([0.1, -0.1]))
