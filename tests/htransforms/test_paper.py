import torch

from deft.htransforms.learned import LearnedHTransform
from deft.htransforms.paper import PaperHTransform
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators.super_resolution import SuperResolution
from deft.posterior import Posterior
from deft.schedules import VPLinear
from tests.contracts.htransform import HTransformContract, images
from tests.contracts.learning import LearningContract
from tests.htransforms.test_exact import Square
from tests.training import small

DOUBLE = torch.float64


class TestPaper(HTransformContract, LearningContract):
    steps = 240  # its gradient starts 250 times too large

    def made(self, prior):
        return PaperHTransform(
            prior.event_shape, prior.scale, channels=(4, 6), attention=(False, False)
        )

    def h_transform(self, prior):
        torch.manual_seed(0)
        return self.made(prior).double()


def point(sigma_y, operator=None):
    prior = images()
    likelihood = GaussianLikelihood(
        operator or SuperResolution(2, prior.event_shape).double(), sigma_y
    )
    noise = Noise(range(3), dtype=DOUBLE)
    observation = Observation(likelihood.sample(prior.sample(noise), noise.stream(1)), likelihood)
    return (
        prior,
        prior.at(noise.normal(2, prior.event_shape), torch.tensor([0.1, 0.4, 0.9], dtype=DOUBLE)),
        observation,
    )


def made(prior, weight=0.01):
    return PaperHTransform(
        prior.event_shape,
        prior.scale,
        channels=(4, 4),
        attention=(False, False),
        initial_weight=weight,
    ).double()


def test_it_reads_the_raw_gradient():
    sigma_y = torch.tensor([0.01, 0.0, 2.0], dtype=DOUBLE)
    prior, denoised, observation = point(sigma_y)
    pull = observation.operator.adjoint(observation.residual(denoised.x_0_hat))
    g = made(prior).likelihood_gradient(denoised.x_0_hat, observation)
    # no density at sigma_y = 0: the paper takes 1 there
    torch.testing.assert_close(
        g, pull / torch.tensor([0.01, 1.0, 2.0], dtype=DOUBLE).reshape(3, 1, 1, 1) ** 2
    )


def test_the_gradient_is_that_of_the_log_likelihood():
    prior, denoised, observation = point(0.3)
    x = denoised.x_0_hat.clone().requires_grad_()
    expected = torch.autograd.grad(observation.likelihood.log_prob(x, observation.y).sum(), x)[0]
    torch.testing.assert_close(
        made(prior).likelihood_gradient(denoised.x_0_hat, observation), expected
    )


def test_operators_need_not_be_linear():
    prior, denoised, observation = point(0.5, Square())
    expected = 2 * denoised.x_0_hat * (observation.y - denoised.x_0_hat**2) / 0.25
    torch.testing.assert_close(
        made(prior).likelihood_gradient(denoised.x_0_hat, observation), expected
    )


def test_untrained_it_pulls_weakly():
    prior, denoised, observation = point(0.3)
    for weight in (0.01, 1.0):
        h = made(prior, weight)
        g = h.likelihood_gradient(denoised.x_0_hat, observation)
        expected = weight * denoised.sigma_t / denoised.alpha_t * g
        torch.testing.assert_close(
            h.shift(denoised, observation), expected, rtol=1e-6, atol=0
        )  # the weight began in single precision


def test_equation_12():
    """eps_hat - sigma_t grad log h, with sigma_t grad log h = NN1(x_t, x_0_hat, g, t) + NN2(t)
    g.
    """
    prior, denoised, observation = point(0.3)
    h = made(prior)
    with torch.no_grad():
        for p in h.parameters():
            p.add_(0.2 * torch.randn_like(p))
    g = h.likelihood_gradient(denoised.x_0_hat, observation)
    t = denoised.log_snr[:, None]
    expected = (
        h.nn1(torch.cat([denoised.x_t, denoised.x_0_hat, g], dim=1), t)
        + h.nn2(t)[:, :, None, None] * g
    )
    torch.testing.assert_close(denoised.sigma_t * h.grad_log_h(denoised, observation), expected)


def test_the_learned_one_makes_it():
    prior = small.prior()
    h = LearnedHTransform.paper(prior, fraction=0.5, initial_weight=1.0)
    assert isinstance(h, PaperHTransform)
    assert h.event_shape == prior.event_shape
    assert h.config["initial_weight"] == 1.0
    assert h.config["channels"] == PaperHTransform.for_prior(prior, fraction=0.5).config["channels"]
    assert LearnedHTransform.paper(prior).config["initial_weight"] == 0.01


def test_no_gradient_is_asked_of_the_caller():
    prior, denoised, observation = point(0.3)
    h = made(prior)
    with torch.no_grad():
        assert not h.shift(denoised, observation).requires_grad
    with torch.inference_mode():
        shift = (
            Posterior(prior, h, observation).denoise(denoised.x_t, denoised.t) - denoised.x_0_hat
        )
    torch.testing.assert_close(shift, h.shift(denoised, observation).detach())


def test_its_input_is_not_of_order_one():
    """Why LearnedHTransform has another form: over the noise levels the raw gradient spans
    orders of magnitude.
    """
    sizes = []
    for sigma_y in (0.01, 0.5):
        prior, denoised, observation = point(sigma_y)
        assert isinstance(prior.schedule, VPLinear)
        sizes.append(float(made(prior).likelihood_gradient(denoised.x_0_hat, observation).std()))
    assert sizes[0] > 100 * sizes[1]
