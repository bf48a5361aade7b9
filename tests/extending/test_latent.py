"""Signals are measured, codes are sampled: the posterior of a linear codec is known in closed
form.
"""

import pytest
import torch

import deft
import deft.training.measured
from deft.codec import Codec, LinearCodec
from deft.errors import InvalidInput
from deft.operators import CallableOperator, Inpainting, Matrix
from deft.operators.composed import Composed, ComposedLinear, composed
from deft.studies.evaluation import evaluate
from deft.studies.kept import read_samples
from deft.studies.method import Method
from tests.contracts.operator import LinearOperatorContract
from tests.contracts.prior import PriorContract
from tests.extending.latent import LatentPrior

DOUBLE = torch.float64
CODES, SIGNALS = (2, 2, 2), (1, 4, 4)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def codec() -> LinearCodec:
    weight = torch.randn(16, 8, dtype=DOUBLE, generator=generator()) / 3
    return LinearCodec(weight, SIGNALS, CODES, torch.linspace(-1, 1, 16, dtype=DOUBLE))


def prior(covariance: float = 0.6) -> LatentPrior:
    return LatentPrior(
        deft.GaussianMixture(
            torch.full((1, *CODES), 0.2, dtype=DOUBLE),
            torch.tensor([covariance], dtype=DOUBLE),
            None,
            deft.VPCosine(),
        ),
        codec(),
    )


def measured(through: Codec | None = None) -> deft.Observation:
    """Half of the signals of two codes that the prior draws."""
    mask = (torch.rand(2, 1, 4, 4, generator=generator()) < 0.5).double()
    likelihood, noise = (
        deft.GaussianLikelihood(Inpainting(mask), 0.3).double(),
        deft.Noise([0, 1], dtype=DOUBLE),
    )
    return deft.Observation(
        likelihood.sample(
            (through or codec()).decode(prior().codes.sample(noise)), noise.stream(1)
        ),
        likelihood,
    )


def exact(observation: deft.Observation, i: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and covariance of z given y = M (W z + b) + sigma_y eps, with z ~ N(m, s^2 I)."""
    seen = observation.operator.mask[i].flatten() > 0
    a = codec().weight[seen]
    y = observation.y[i].flatten()[seen] - codec().bias.flatten()[seen]
    precision = torch.eye(8, dtype=DOUBLE) / 0.6 + a.T @ a / 0.3**2
    covariance = torch.linalg.inv(precision)
    return covariance @ (torch.full((8,), 0.2, dtype=DOUBLE) / 0.6 + a.T @ y / 0.3**2), covariance


class TestLatentPrior(PriorContract):
    def prior(self):
        return prior()


class TestComposed(LinearOperatorContract):
    event_shape = CODES
    solve_tolerance = 1e-4  # conjugate gradients

    def make(self, seeds):
        noise = deft.Noise(seeds, dtype=DOUBLE)
        return composed(Inpainting((noise.uniform(7, (1, 4, 4)) < 0.5).double()), codec())


@pytest.mark.parametrize("method", ["PiGDM", "Exact"])
def test_the_posterior_of_the_codes_is_the_one_that_is_known(method):
    model, observation = prior(), measured()
    h = deft.PiGDM(model.scale) if method == "PiGDM" else deft.Exact(model.codes)
    posterior = deft.Posterior(model, h, observation)
    assert isinstance(posterior.observation.operator, ComposedLinear)
    z = deft.DPMSolver(40)(posterior, 4000, seed=0)
    for i in range(2):
        mean, covariance = exact(observation, i)
        codes = z[i].flatten(1)
        assert float((codes.mean(0) - mean).abs().max()) < 0.06
        torch.testing.assert_close(codes.T.cov(), covariance, rtol=0, atol=0.06)
    x = model.decode(z)
    assert x.shape == (2, 4000, *SIGNALS)
    assert model.signal_shape == SIGNALS
    residual = observation.repeat(4000).residual(x.flatten(0, 1))
    seen = observation.operator.mask.mean().item()
    assert 0.15 < float((residual.square().mean() / seen).sqrt()) < 0.35


def test_a_learned_h_reads_codes_and_a_measurement_of_signals():
    model, observation = prior(), measured()
    h = deft.LearnedHTransform(CODES, model.scale, channels=(8,), attention=(False,)).double()
    z = deft.DPMSolver(10)(deft.Posterior(model, h, observation), 4, seed=0)
    assert z.shape == (2, 4, *CODES)
    assert bool(z.isfinite().all())


def test_a_posterior_of_a_posterior_is_in_the_same_spaces():
    model, observation = prior(), measured()
    first = deft.Posterior(model, deft.Exact(model.codes), observation)
    second = deft.Posterior(
        first,
        deft.DDNM(),
        deft.Observation(
            observation.y, deft.GaussianLikelihood(observation.operator, 0.0).double()
        ),
    )
    z = deft.DPMSolver(10)(second, 3, seed=0)
    assert model.decode(z).shape == (2, 3, *SIGNALS)


class Bent(Codec):
    """x = tanh(W z)."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = codec()
        self.signal_shape, self.event_shape = SIGNALS, CODES

    def decode(self, z):
        return self.inner.decode(z).tanh()

    def encode(self, x):
        return self.inner.encode(x.clamp(-0.99, 0.99).atanh())


def test_a_codec_that_is_not_linear_pulls_by_one_product_with_its_jacobian():
    model = prior()
    model.codec = Bent()
    observation = measured(model.codec)
    posterior = deft.Posterior(model, deft.DPS(4.0), observation)
    operator = posterior.observation.operator
    assert isinstance(operator, Composed)
    z = torch.randn(2, *CODES, dtype=DOUBLE, generator=generator())
    assert torch.equal(operator(z), observation.operator(model.codec.decode(z)))
    drawn = deft.DDIM(40, eta=1.0)(posterior, 64, seed=0)
    alone = deft.DDIM(40, eta=1.0)(model, 128, seed=0)[0].reshape(2, 64, *CODES)

    def misfit(codes):
        return float(
            observation.repeat(64).residual(model.decode(codes).flatten(0, 1)).square().mean()
        )

    assert misfit(drawn) < 0.8 * misfit(alone)


def test_what_does_not_fit():
    with pytest.raises(InvalidInput) as raised:
        composed(Matrix(torch.zeros(2, 9, dtype=DOUBLE), (9,)), codec())
    assert str(SIGNALS) in raised.value.given
    for weight in (torch.zeros(16, 8), torch.full((16, 8), torch.nan), torch.ones(3, 8)):
        with pytest.raises(InvalidInput) as raised:
            LinearCodec(weight, SIGNALS, CODES)
        assert raised.value.what == "weight"
    black = CallableOperator(lambda x: x.round(), SIGNALS, lift=lambda y: y)
    assert isinstance(composed(black, codec()), Composed)


def test_training_on_codes_measures_what_they_decode_to():
    """The loss without training is that of the white-Gaussian start, exact here, and below that
    of the prior alone.
    """
    model, problem = prior(), deft.problems.Inpainting("half", sigma_y=0.3)
    h = deft.LearnedHTransform(CODES, model.scale, channels=(8,), attention=(False,)).double()
    codes = model.codes.sample(deft.Noise(range(256), dtype=DOUBLE))
    result = deft.train(
        h,
        model,
        deft.DenoisingScoreMatching(problem),
        codes[:128],
        steps=2,
        batch_size=16,
        validation=codes[128:],
        progress=False,
    )
    assert result.validation.loss < 0.8 * result.validation.without
    seen = deft.training.measured.measured(
        problem, model, codes[:3], deft.Noise(range(3), dtype=DOUBLE)
    )
    assert isinstance(seen.operator, ComposedLinear)
    assert seen.y.shape == (3, *SIGNALS)


def test_an_evaluation_compares_what_codes_decode_to(tmp_path):
    model, problem = prior(), deft.problems.Inpainting("half", sigma_y=0.3)
    images = model.decode(model.codes.sample(deft.Noise(range(3), dtype=DOUBLE)))
    methods = [
        Method("PiGDM", deft.PiGDM(model.scale), deft.DPMSolver(10)),
        Method("the prior", None, deft.DPMSolver(10)),
    ]
    results = evaluate(model, problem, images, methods, out=tmp_path, samples=4, progress=False)
    exact, blind = (m["summary"]["misfit"]["value"] for m in results["methods"])
    assert 0.7 < exact < 1.3 < blind
    assert read_samples(tmp_path, "PiGDM", 3).shape == (3, 4, *SIGNALS)
