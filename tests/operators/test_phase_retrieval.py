import numpy as np
import pytest
import torch

from deft import problems
from deft.htransforms.learned import LearnedHTransform
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators import Inpainting, PhaseRetrieval
from deft.posterior import Posterior
from deft.priors.gaussian_mixture import GaussianMixture
from deft.samplers.ddim import DDIM
from deft.schedules import VPLinear
from tests.contracts.operator import OperatorContract
from tests.refusal import refused


class TestPhaseRetrieval(OperatorContract):
    event_shape = (1, 4, 5)

    def make(self, seeds):
        return PhaseRetrieval(iterations=20, restarts=2)


class TestSigned(OperatorContract):
    event_shape = (2, 3, 4)

    def make(self, seeds):
        return PhaseRetrieval(None, iterations=20, restarts=2)


def shapes(n=3, size=12, channels=1):
    """Random blobs on black, in [-1, 1]."""
    x = torch.zeros(n, channels, size, size)
    x[..., 2:-3, 3:-2] = torch.rand(n, channels, size - 5, size - 5)
    return 2 * x - 1


def translated(x, down, right, black=-1.0):
    """x moved; what leaves the image is lost."""
    out = torch.full_like(x, black)
    h, w = x.shape[2:]
    out[..., max(down, 0) : h + min(down, 0), max(right, 0) : w + min(right, 0)] = x[
        ..., max(-down, 0) : h + min(-down, 0), max(-right, 0) : w + min(-right, 0)
    ]
    return out


class TestForward:
    def test_it_is_numpys_transform(self):
        x = 2 * np.random.default_rng(0).random((2, 3, 5, 4)) - 1
        expected = np.abs(np.fft.fft2((x + 1) / 2, s=(10, 8), norm="ortho"))
        np.testing.assert_allclose(PhaseRetrieval()(torch.from_numpy(x)), expected, atol=1e-12)

    def test_energy_is_kept(self):
        x = torch.randn(3, 1, 8, 8)
        torch.testing.assert_close(
            PhaseRetrieval(None)(x).square().sum((1, 2, 3)), x.square().sum((1, 2, 3))
        )

    @pytest.mark.parametrize(
        "change",
        [lambda x: x.flip((2, 3)), lambda x: translated(x, 3, -3), lambda x: translated(x, -2, 2)],
    )
    def test_it_cannot_tell_symmetric_images_apart(self, change):
        x, operator = shapes(), PhaseRetrieval()
        torch.testing.assert_close(operator(change(x)), operator(x))

    def test_nor_signs(self):
        x, operator = torch.randn(2, 1, 6, 6), PhaseRetrieval(None)
        torch.testing.assert_close(operator(-x), operator(x))


class TestAlign:
    @pytest.mark.parametrize("flip", [False, True])
    @pytest.mark.parametrize(("down", "right"), [(0, 0), (2, 1), (-2, 2), (1, -2)])
    def test_symmetries_are_undone(self, flip, down, right):
        x = shapes(channels=2)
        changed = translated(x.flip((2, 3)) if flip else x, down, right)
        torch.testing.assert_close(PhaseRetrieval().align(changed, x), x)

    def test_of_each_channel_and_signal_by_itself(self):
        x = shapes(2, channels=2)
        changed = x.clone()
        changed[0, 1] = x[0, 1].flip((0, 1))
        changed[1, :1] = translated(x[1:, :1], 2, 1)[0]
        torch.testing.assert_close(PhaseRetrieval().align(changed, x), x)

    def test_signs_of_signed_images_alone(self):
        x = torch.randn(3, 2, 5, 6)
        torch.testing.assert_close(PhaseRetrieval(None).align(-x.flip((2, 3)), x), x)
        bright = shapes()
        assert (PhaseRetrieval().align(-bright, bright) - bright).abs().max() > 0.1

    def test_it_is_never_farther(self):
        x, reference = shapes(8), shapes(8)
        before, after = (
            (x - reference).flatten(1).norm(dim=1),
            (PhaseRetrieval().align(x, reference) - reference).flatten(1).norm(dim=1),
        )
        assert (after <= before + 1e-5).all()

    def test_what_leaves_the_image_comes_back_on_no_other_side(self):
        x, reference = -torch.ones(1, 1, 6, 6), -torch.ones(1, 1, 6, 6)
        x[..., 0, :] = x[..., 5, :] = 1
        reference[..., 1, :] = 1
        aligned = PhaseRetrieval().align(x, reference)
        torch.testing.assert_close(aligned[..., 1, :], torch.ones(1, 1, 6))
        assert (aligned[..., 2:, :] == -1).all()

    def test_operators_without_symmetries_leave_signals_alone(self):
        x = torch.randn(1, 1, 2, 2)
        assert Inpainting(torch.ones(1, 1, 2, 2)).align(x, -x) is x


class TestLift:
    def test_it_finds_images_on_black(self):
        x, operator = shapes(), PhaseRetrieval()
        found = operator.align(operator.lift(operator(x)), x)
        assert (found - x).square().mean() < 1e-3

    def test_it_finds_signed_images(self):
        x, operator = torch.randn(3, 1, 8, 8), PhaseRetrieval(None, iterations=400)
        found = operator.align(operator.lift(operator(x)), x)
        assert (found - x).flatten(1).norm(dim=1).median() < 0.1 * x.flatten(1).norm(dim=1).median()

    def test_noise_does_not_break_it(self):
        x, operator = shapes(), PhaseRetrieval()
        y = operator(x)
        noisy = y + 0.05 * y.square().mean((1, 2, 3), keepdim=True).sqrt() * torch.randn_like(y)
        found = operator.align(operator.lift(noisy), x)
        assert (found - x).square().mean() < 0.05

    def test_channels_are_oriented_alike(self):
        x, operator = shapes(1).expand(1, 3, -1, -1).contiguous(), PhaseRetrieval()
        x[:, 1] = 0.7 * (x[:, 1] + 1) - 1
        lifted = operator.lift(operator(x))
        red, green = lifted[:, :1] + 1, lifted[:, 1:2] + 1
        assert (green - 0.7 * red).abs().max() < 0.2

    def test_more_restarts_explain_no_less(self):
        x = 2 * torch.rand(4, 1, 8, 8) - 1
        y = PhaseRetrieval()(x)
        one, many = (PhaseRetrieval(iterations=40, restarts=n) for n in (1, 6))
        assert ((one(one.lift(y)) - y).norm() >= (many(many.lift(y)) - y).norm() - 1e-5).all()

    def test_odd_magnitudes_are_refused(self):
        refused(
            lambda: PhaseRetrieval().lift(torch.ones(1, 1, 5, 6)),
            "the shape (1, 1, 5, 6)",
            "an even height and width",
        )


class TestGuidance:
    def test_it_is_the_difference_that_the_magnitudes_make(self):
        """For u = x_0: P^T F^{-1} (y - |F P x|) F P x / |F P x|, over r_t^2 L^2 with L <= 1."""
        x, operator, r_t = torch.randn(2, 1, 6, 6), PhaseRetrieval(None), torch.ones(1)
        y = operator(x + 0.1 * torch.randn_like(x))
        z = torch.fft.fft2(x, s=(12, 12), norm="ortho")
        gradient = torch.fft.ifft2((y - z.abs()) * torch.sgn(z), norm="ortho").real[..., :6, :6]
        guidance = GaussianLikelihood(operator, 0.0).guidance(x, r_t, y)
        ratio = guidance / gradient
        torch.testing.assert_close(
            ratio, ratio[:, :, :1, :1].expand_as(ratio), rtol=1e-3, atol=1e-3
        )
        assert (ratio > 0.99).all()

    def test_following_it_explains_the_measurement(self):
        x, likelihood = shapes(), GaussianLikelihood(PhaseRetrieval(), 0.0)
        y, moved = likelihood.operator(x), x + 0.3 * torch.randn_like(x)
        before = likelihood.misfit(moved, y)
        for _ in range(10):
            moved = moved + 0.3 * likelihood.guidance(moved, torch.full((1,), 0.3), y)
        assert (likelihood.misfit(moved, y) < 0.5 * before).all()

    @pytest.mark.parametrize("sigma_y", [0.0, 0.02])
    @pytest.mark.parametrize("r_t", [0.01, 0.3, 1.0])
    def test_it_is_of_order_one(self, r_t, sigma_y):
        x, likelihood = shapes(8), GaussianLikelihood(PhaseRetrieval(), sigma_y)
        y = likelihood.sample(x, Noise(range(8)))
        guidance = likelihood.guidance(x + r_t * torch.randn_like(x), torch.full((1,), r_t), y)
        assert guidance.square().mean().sqrt() < 2


def test_a_sampler_lifts_once(monkeypatch):
    prior = GaussianMixture(torch.zeros(1, 1, 4, 4), torch.tensor([0.3]), None, VPLinear())
    operator = PhaseRetrieval(iterations=5, restarts=2)
    likelihood = GaussianLikelihood(operator, 0.05)
    observation = Observation(
        likelihood.sample(prior.sample(Noise([0, 1])), Noise([2, 3])), likelihood
    )
    lifted, lift = [], PhaseRetrieval.lift
    monkeypatch.setattr(
        PhaseRetrieval, "lift", lambda self, y: lifted.append(len(y)) or lift(self, y)
    )
    h = LearnedHTransform((1, 4, 4), prior.scale, channels=(4,), patch=1, attention=(False,))
    posterior = Posterior(prior, h, observation)
    assert DDIM(steps=4)(posterior, num_samples=3, seed=0).isfinite().all()
    assert lifted == [2]


def test_errors():
    refused(lambda: PhaseRetrieval((1.0, -1.0)), (1.0, -1.0), "low < high, (black, white)")
    refused(lambda: PhaseRetrieval(iterations=0), 0, "a whole number >= 1")
    refused(lambda: PhaseRetrieval(restarts=0), 0, "a whole number >= 1")
    refused(lambda: PhaseRetrieval(beta=0.0), 0.0, "a number in (0, 1]")
    refused(
        lambda: PhaseRetrieval()(torch.ones(2, 1, 9)),
        "the shape (2, 1, 9)",
        "(batch, any, any, any)",
    )


class TestMagnitudes:
    def test_negative_ones_are_refused(self):
        x, operator = shapes(), PhaseRetrieval()
        refused(
            lambda: operator.lift(-operator(x)),
            "3 of 3 measurements that are negative on average",
            "magnitudes |F x|",
        )
        for noise in (0.0, 0.3, 3.0):  # as noise makes them they are not
            operator.lift(operator(x) + noise * torch.randn(3, 1, 24, 24))
        operator.lift(0.1 * torch.randn(3, 1, 24, 24))

    def test_those_beyond_the_noise_are_refused_where_it_is_known(self):
        y = PhaseRetrieval()(shapes())
        y[1, 0, 3, 4] = -2.0
        problem, operator = problems.PhaseRetrieval(), PhaseRetrieval()
        error = refused(
            lambda: problem.likelihood(operator, y, 0.1),
            "magnitudes down to -2",
            "magnitudes |F x|",
        )
        assert "sigma_y" in error.advice
        problem.likelihood(operator, y, 0.5)

    @pytest.mark.parametrize("value_range", [(-1.0, 1.0), None])
    def test_shifted_ones_are_doubted(self, value_range):
        x, operator = shapes(), PhaseRetrieval(value_range)
        y = operator(x if value_range else x + 1)
        assert operator.doubts(y) == operator.doubts(y[:0]) == []
        (doubt,) = operator.doubts(torch.fft.fftshift(y, dim=(-2, -1)))
        assert "3 of 3" in doubt
        assert "ifftshift" in doubt
        with pytest.warns(UserWarning, match="ifftshift"):
            problems.PhaseRetrieval().likelihood(operator, torch.fft.fftshift(y, dim=(-2, -1)), 0.1)

    def test_a_real_part_is_doubted(self):
        spectrum = torch.fft.fft2(
            0.5 * (torch.randn(3, 1, 12, 12) + 1), s=(24, 24), norm="ortho"
        ).real
        assert "negative numbers" in PhaseRetrieval().doubts(spectrum)[-1]
