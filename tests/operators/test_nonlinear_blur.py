import pytest
import torch

from deft.likelihoods import GaussianLikelihood
from deft.noise import Noise
from deft.operators import Blur, NonlinearBlur, gaussian_kernel, motion_kernel
from deft.operators.nonlinear_blur import light_of, response
from tests.contracts.operator import OperatorContract
from tests.refusal import refused


class TestNonlinearBlur(OperatorContract):
    event_shape = (3, 6, 7)
    solve_tolerance = 1e-4  # conjugate gradients, which stop before they have converged

    def signals(self, n):
        return (
            super().signals(n).tanh()
        )  # far outside of the range its curves are steep, and conjugate gradients lose digits

    def make(self, seeds):
        return NonlinearBlur(motion_kernel(3, Noise([5 + seed for seed in seeds])))


class TestPeriodicInUnitRange(TestNonlinearBlur):
    event_shape = (1, 4, 5)

    def signals(self, n):
        return (super().signals(n) + 1) / 2

    def make(self, seeds):
        return NonlinearBlur(
            motion_kernel(3, Noise([5 + seed for seed in seeds])), 2.0, "circular", (0.0, 1.0)
        )


class TestOneKernelForAll(TestNonlinearBlur):
    event_shape = (1, 6)

    def make(self, seeds):
        return NonlinearBlur(gaussian_kernel(3, 0.6, axes=1), border="circular")


def images(n=4, size=12):
    """Smooth images in [-1, 1]."""
    return Blur(gaussian_kernel(7, 1.5))(3 * torch.randn(n, 1, size, size)).tanh()


class TestResponse:
    def test_values_of_the_standard(self):
        u = torch.tensor([0.0, 0.02, 0.5, 1.0])
        torch.testing.assert_close(
            light_of(u), torch.tensor([0.0, 0.0015480, 0.2140411, 1.0]), rtol=1e-4, atol=0
        )

    def test_they_are_inverses_also_outside_of_the_range(self):
        u = torch.linspace(-1, 3, 400, dtype=torch.float64)
        torch.testing.assert_close(response(light_of(u)), u, atol=1e-6, rtol=0)
        assert (light_of(u).diff() > 0).all()


def test_light_is_blurred_exposed_and_cut_off():
    x, kernel = 2 * torch.rand(2, 3, 8, 8) - 1, gaussian_kernel(3, 0.8)
    light = 1.5 * Blur(kernel, "reflect")(light_of((x + 1) / 2))
    y = NonlinearBlur(kernel, exposure=1.5)(x)
    torch.testing.assert_close(y, 2 * response(light.clamp(max=1)) - 1)
    assert (y.max() - 1).abs() < 1e-6


def test_a_bright_spot_outshines_what_a_blur_of_pixels_would_give():
    x = -torch.ones(1, 1, 9, 9)
    x[..., 4, 4] = 1
    kernel = gaussian_kernel(5, 1.0)
    assert (NonlinearBlur(kernel, exposure=1.0)(x) >= Blur(kernel, "reflect")(x) - 1e-6).all()


def test_what_is_flat_and_not_saturated_stays():
    x = torch.full((1, 1, 6, 6), 0.3)
    torch.testing.assert_close(NonlinearBlur(gaussian_kernel(3, 1.0), exposure=1.0)(x), x)


def test_its_lift_is_nearer_than_the_measurement():
    x = images()
    operator = NonlinearBlur(gaussian_kernel(5, 1.0), exposure=1.0)
    y = operator(x)
    assert (operator.lift(y) - x).square().mean() < 0.5 * (y - x).square().mean()
    assert operator.lift(5 * torch.randn_like(y)).abs().max() <= 1


class TestGuidance:
    def test_it_survives_saturation(self):
        """A white estimate of a grey scene: A is saturated there, and its derivative is zero."""
        likelihood = GaussianLikelihood(NonlinearBlur(gaussian_kernel(3, 0.8), exposure=2.0), 0.0)
        x_0_hat = torch.full((1, 1, 6, 6), 0.95, requires_grad=True)
        y = likelihood.operator(torch.zeros(1, 1, 6, 6))
        true = torch.autograd.grad(likelihood.residual(x_0_hat, y).square().sum(), x_0_hat)[0]
        assert torch.equal(true, torch.zeros_like(true))
        assert (likelihood.guidance(x_0_hat.detach(), torch.ones(1), y) < -0.01).all()

    @pytest.mark.parametrize("border", ["reflect", "circular"])
    @pytest.mark.parametrize("s2", [0.2, 2.0])
    def test_it_solves_the_equations_of_the_derivative(self, border, s2):
        operator, x = (
            NonlinearBlur(gaussian_kernel(3, 0.8), border=border).double(),
            images(2, 5).double(),
        )
        residual, r2 = 0.1 * torch.randn_like(x), 0.05
        pull = operator.pull(x, residual, torch.tensor([r2]), torch.tensor([s2]))
        for i in range(2):
            derivative = torch.autograd.functional.jacobian(
                lambda z: operator.surrogate(z[None])[0], x[i]
            ).reshape(25, 25)
            v = torch.linalg.solve(
                r2 * derivative @ derivative.T + s2 * torch.eye(25, dtype=x.dtype),
                residual[i].flatten(),
            )
            torch.testing.assert_close(pull[i].flatten(), derivative.T @ v, atol=1e-4, rtol=1e-2)

    @pytest.mark.parametrize("r_t", [0.05, 0.5])
    def test_following_it_explains_the_measurement(self, r_t):
        x, likelihood = images(), GaussianLikelihood(NonlinearBlur(gaussian_kernel(3, 0.8)), 0.01)
        y = likelihood.sample(x, Noise(range(4)))
        x_0_hat = (x + r_t * torch.randn_like(x)).clamp(-1, 1)
        moved = x_0_hat
        for _ in range(5):
            moved = moved + r_t * likelihood.guidance(moved, torch.full((1,), r_t), y)
        assert (likelihood.misfit(moved, y) < 0.6 * likelihood.misfit(x_0_hat, y)).all()

    @pytest.mark.parametrize("sigma_y", [0.0, 0.05, 1.0])
    @pytest.mark.parametrize("r_t", [0.01, 0.3, 1.0])
    def test_it_is_of_order_one(self, r_t, sigma_y):
        x, likelihood = (
            images(8),
            GaussianLikelihood(NonlinearBlur(motion_kernel(5, Noise(range(8)))), sigma_y),
        )
        y = likelihood.sample(x, Noise(range(8)))
        guidance = likelihood.guidance(x + r_t * torch.randn_like(x), torch.full((1,), r_t), y)
        assert guidance.square().mean().sqrt() < 2


def test_errors():
    refused(lambda: NonlinearBlur(gaussian_kernel(3, 1.0), exposure=0), 0, "a finite number > 0")
    refused(
        lambda: NonlinearBlur(gaussian_kernel(3, 1.0), value_range=(1.0, 1.0)),
        (1.0, 1.0),
        "low < high, (black, white)",
    )
    refused(
        lambda: NonlinearBlur(gaussian_kernel(3, 1.0), border="reflected"),
        "reflected",
        "circular, reflect",
        "perhaps reflect",
    )
