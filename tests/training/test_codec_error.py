"""What an autoencoder leaves out of y, in a case that is known in closed form.

    x = (z + u, z - u) / sqrt(2) for each pair of columns,    z ~ N(0, 1), u ~ N(0, v)
    D(z) = (z, z) / sqrt(2), E(x) = z, A the even columns:    y = z / sqrt(2) + u / sqrt(2) + noise

so that A(x) - A(D(E(x))) = u / sqrt(2) is white, independent of z, and of variance v / 2. The prior
of z is white, for which an untrained h-transform is exact.
"""

import math
import warnings

import pytest
import torch

import deft
from deft.codec import Codec, LinearCodec
from deft.errors import InvalidInput
from deft.likelihoods import EmissionLikelihood, Observation
from deft.metrics.calibration import coverage, ranks
from deft.operators import Inpainting
from deft.operators.composed import Composed, ComposedLinear
from deft.priors.latent import LatentPrior
from deft.problems import Fixed
from deft.training import checkpoint
from deft.training.bank import Bank
from deft.training.codec_error import codec_error, on_card
from deft.training.measured import measured
from deft.training.sources import Images

SIGMA_Y, V = 0.1, 0.25
ERROR = math.sqrt(V / 2)
SIGNALS, CODES = (1, 4, 8), (1, 4, 4)


def pairs(sign: float = 1.0) -> torch.Tensor:
    """(32, 16): each code is a pair of columns of one row."""
    pair = torch.tensor([[1.0], [sign]]) / math.sqrt(2)
    return torch.kron(torch.eye(16), pair)


class Undeclared(Codec):
    """The same, which does not say that it is linear."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = LinearCodec(pairs(), SIGNALS, CODES)
        self.signal_shape, self.event_shape = SIGNALS, CODES

    def decode(self, z):
        return self.inner.decode(z)

    def encode(self, x):
        return self.inner.encode(x)


def prior(linear: bool = True) -> LatentPrior:
    codes = deft.GaussianMixture(torch.zeros(1, *CODES), torch.tensor([1.0]), None, deft.VPCosine())
    return LatentPrior(codes, LinearCodec(pairs(), SIGNALS, CODES) if linear else Undeclared())


def images(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """x, and the z that it is encoded to."""
    noise = deft.Noise(range(1000 * seed, 1000 * seed + n))
    z, u = noise.normal(0, CODES), math.sqrt(V) * noise.normal(1, CODES)
    x = (z.flatten(1) @ pairs().T + u.flatten(1) @ pairs(-1.0).T).reshape(n, *SIGNALS)
    return x, z


def problem() -> Fixed:
    mask = torch.zeros(1, *SIGNALS)
    mask[..., ::2] = 1
    return Fixed(Inpainting(mask), SIGMA_Y)


def untrained(model: LatentPrior) -> deft.LearnedHTransform:
    return deft.LearnedHTransform(CODES, model.scale, channels=(4,), attention=(False,))


def covered(model: LatentPrior, level: float = 0.8) -> float:
    x, z = images(48, seed=1)
    assert torch.allclose(model.encode(x), z, atol=1e-5)
    observation = problem().draw(x, deft.Noise(range(48)))
    posterior = deft.Posterior(model, untrained(model), observation)
    kind = ComposedLinear if model.codec.is_linear else Composed
    assert isinstance(posterior.observation.operator, kind)
    drawn = deft.DPMSolver(20)(posterior, 24, seed=0)
    return coverage(ranks(drawn, z), 24, [level]).values[0]


@pytest.mark.parametrize("linear", [True, False])
def test_intervals_cover_what_they_should_once_the_error_is_known(linear):
    model = prior(linear)
    assert covered(model) < 0.45  # the autoencoder's error taken for signal
    assert codec_error(model, problem(), images(64)[0], most=64) == pytest.approx(ERROR, rel=0.05)
    assert covered(model) == pytest.approx(0.8, abs=0.03)  # 768 codes: 0.014 is one of them


def test_the_likelihood_is_that_of_the_closed_form():
    """log p(y | z) with variance v / 2 + sigma_y^2, and once however often it is put behind."""
    model = prior()
    model.codec.error = ERROR
    x, z = images(3)
    behind = problem().draw(x, deft.Noise(range(3))).behind(model.codec)
    sigma = math.sqrt(ERROR**2 + SIGMA_Y**2)
    left = (behind.y[..., ::2] - z / math.sqrt(2)).double()
    expected = torch.distributions.Normal(0.0, sigma).log_prob(left).flatten(1).sum(1)
    torch.testing.assert_close(
        behind.likelihood.log_prob(z, behind.y), expected, rtol=1e-5, atol=1e-4
    )
    again = behind.behind(model.codec)
    assert torch.equal(again.sigma_y, behind.sigma_y)


def test_y_of_training_is_drawn_from_the_image():
    model, (x, z) = prior(), images(4)
    batch = Images(x / 4, model).batch(range(4), deft.Noise(range(4)))
    assert torch.equal(batch.seen, x / 4)
    torch.testing.assert_close(batch.x_0, z / 4, rtol=0, atol=1e-5)
    y = measured(problem(), model, batch.x_0, deft.Noise(range(4)), batch.seen).y
    of_image = problem().draw(x / 4, deft.Noise(range(4))).y
    assert torch.equal(y, of_image)


def test_codes_alone_are_measured_with_the_error_as_noise():
    model, (_, z) = prior(), images(256)
    model.codec.error = ERROR
    observation = measured(problem(), model, z, deft.Noise(range(256)))
    left = (observation.y - model.decode(z))[..., ::2]
    assert float(left.std()) == pytest.approx(math.hypot(ERROR, SIGMA_Y), rel=0.04)
    assert float(observation.y[..., 1::2].abs().max()) == 0  # what is not seen stays so
    assert float(observation.sigma_y[0]) == pytest.approx(math.hypot(ERROR, SIGMA_Y))


def test_training_measures_it_and_the_card_keeps_it(tmp_path):
    model, (x, _) = prior(), images(64)
    h, aim = untrained(model), deft.DenoisingScoreMatching(problem())
    loss = deft.train(h, model, aim, x, steps=2, batch_size=8, validation=x, progress=False)
    assert model.codec.error == pytest.approx(ERROR, rel=0.1)
    assert loss.validation.loss < 0.9 * loss.validation.without
    checkpoint.save(tmp_path / "h.safetensors", h, model, {"problem": {**_card()}})
    fresh = prior()
    loaded, card = checkpoint.load(tmp_path / "h.safetensors", fresh)
    assert fresh.codec.error == model.codec.error == card["codec"]["error"]
    effective = math.hypot(SIGMA_Y, model.codec.error)
    assert loaded.trained_sigma_y == pytest.approx((effective, effective))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a level that it was not trained for
        deft.Posterior(fresh, loaded, problem().draw(x, deft.Noise(range(64))))
    fresh.codec.error = 0.5
    with pytest.warns(UserWarning, match="load a prior for each problem"):
        checkpoint.load(tmp_path / "h.safetensors", fresh)


def _card() -> dict:
    return deft.problems.Denoising(sigma_y=SIGMA_Y).card()


def test_a_bank_trains_on_codes(tmp_path):
    model, (x, _) = prior(), images(32)
    codec_error(model, problem(), x)
    bank = Bank.build(model, Images(x, model), 64, progress=False)
    h, aim = untrained(model), deft.DenoisingScoreMatching(problem())
    before = model.codec.error
    deft.train(h, model, aim, bank, steps=2, batch_size=8, progress=False)
    assert model.codec.error == before > 0


def test_several_measurements_are_of_the_same_image():
    model, (x, _) = prior(), images(4)
    aim = deft.DenoisingScoreMatching(problem(), per_evaluation=3)
    batch = Images(x, model).batch(range(4), deft.Noise(range(4)))
    loss = aim.loss(untrained(model), model, batch)
    assert loss.value.shape == (4,)


def test_what_has_no_error():
    class White(deft.Prior):
        event_shape, schedule = SIGNALS, deft.VPCosine()

        def denoise(self, x_t, t):
            return x_t

    assert codec_error(White(), problem(), images(2)[0]) == 0
    model = prior()
    with pytest.raises(InvalidInput) as raised:
        codec_error(model, problem(), images(2)[1])
    assert raised.value.what == "images"
    with pytest.raises(InvalidInput) as raised:
        codec_error(model, problem(), images(2)[0], most=0)
    assert raised.value.what == "most"


def test_a_bank_has_it_measured_on_the_images_that_are_held_out():
    model, (x, _) = prior(), images(32)
    bank = Bank.build(model, Images(x, model), 64, progress=False)
    h, aim = untrained(model), deft.DenoisingScoreMatching(problem())
    deft.train(h, model, aim, bank, steps=1, batch_size=8, validation=x, progress=False)
    assert model.codec.error == pytest.approx(ERROR, rel=0.1)


def test_what_was_not_measured_is_not_on_a_card():
    model = prior()
    assert on_card(model) == {}
    model.codec.error = ERROR
    assert on_card(model) == {"codec": {"error": ERROR}}


def test_counts_have_no_error_and_no_noise_beside_them():
    """The error of another problem is forgotten, and no dose is taken for a standard deviation."""
    model = prior()
    model.codec.error = ERROR
    counted = EmissionLikelihood(Inpainting(torch.ones(1, *SIGNALS)), 0.04)
    assert float(counted.behind(model.codec).sigma_y) == pytest.approx(0.2)

    class Counting(Fixed):
        def draw(self, x_0, noise):
            return Observation(counted.sample(x_0, noise), counted)

    assert codec_error(model, Counting(counted.operator, SIGMA_Y), images(4)[0].abs()) == 0
    assert model.codec.error == 0


def saved(folder, name, error):
    """An h-transform whose card has this error, or none."""
    model = prior()
    model.codec.error = error
    checkpoint.save(folder / name, untrained(model), model, {"problem": {**_card()}})
    return folder / name


@pytest.mark.parametrize("around", [lambda p: p, lambda p: deft.Rescheduled(p, deft.VPCosine())])
def test_pipelines_that_share_a_prior_have_an_error_each(tmp_path, around):
    shared, x = around(prior()), images(2)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of an error that another h-transform is told
        pipes = {
            error: deft.DeftPipeline.from_pretrained(
                saved(tmp_path, f"{error}", error), prior=shared
            )
            for error in (0.3, 0.05, 0.0)
        }
    for error, pipe in pipes.items():
        y = deft.Observation(x, deft.GaussianLikelihood(deft.operators.Identity(), SIGMA_Y))
        seen = deft.Posterior(pipe.prior, pipe.h, y).observation.sigma_y
        assert float(seen) == pytest.approx(math.hypot(SIGMA_Y, error))
        assert pipe.prior.codec.weight is shared.codec.weight
    assert shared.codec.error == 0


def test_a_card_without_an_error_forgets_that_of_another(tmp_path):
    model = prior()
    checkpoint.load(saved(tmp_path, "a", 0.3), model)
    assert model.codec.error == 0.3
    with pytest.warns(UserWarning, match="was 0.3, and is now 0, .* load a prior for each problem"):
        checkpoint.load(saved(tmp_path, "b", 0.0), model)
    assert model.codec.error == 0
