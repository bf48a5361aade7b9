"""Signal space and prior space, contexts, empty batches: what a review found with smallest
inputs.
"""

import pytest
import torch

import deft
from deft.codec import LinearCodec
from deft.errors import InvalidInput
from deft.htransforms.exact import Exact
from deft.likelihoods import GaussianLikelihood, Observation, doubts
from deft.operators import CallableOperator, HighDynamicRange, Identity
from deft.operators.composed import composed
from deft.priors.context import Context
from deft.studies.exactness import path_weights
from deft.studies.method import Method
from deft.training.calibrate import calibrate
from deft.training.sources import Images
from deft.training.validated import same_units
from tests.closed_form import DOUBLE, mixture
from tests.extending.latent import LatentPrior, grey
from tests.studies.labelled import Labelled


def tall(entries=64, latents=16):
    weight = torch.randn(entries, latents, generator=torch.Generator().manual_seed(0)) / 4
    return LinearCodec(weight, (1, 8, 8), (1, 4, 4))


def latent(codec):
    codes = deft.GaussianMixture(
        torch.zeros(1, *codec.event_shape), torch.tensor([1.0]), None, deft.VPCosine()
    )
    return LatentPrior(codes, codec)


@pytest.mark.parametrize("sigma_y", [0.0, 1e-3, 0.1])
@pytest.mark.parametrize("where", ["x_t", "pivot", "matched"])
def test_a_measurement_that_no_code_explains_is_met_as_well_as_can_be(where, sigma_y):
    """As photographs are by latents: y is not in the range of A W, and A A^T has no inverse."""
    prior = latent(tall())
    y = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    observation = Observation(y, GaussianLikelihood(Identity(), sigma_y))
    h = deft.LearnedHTransform(
        prior.event_shape, prior.scale, point=where, channels=(4,), patch=1, attention=(False,)
    )
    drawn = deft.DPMSolver(12)(deft.Posterior(prior, h, observation), 1, seed=0)
    w = prior.codec.weight
    best = torch.linalg.lstsq(w, (y.flatten(1) - prior.codec.bias.flatten()).T).solution.T
    error = (drawn.flatten(1) - best).square().mean().sqrt()
    assert float(error) < 0.05 + 2 * sigma_y


def test_an_operator_behind_a_codec_keeps_its_own_pull():
    codec = LinearCodec(torch.eye(16), (1, 4, 4), (1, 4, 4))
    z = torch.full((1, 1, 4, 4), 0.9)
    for operator in (
        HighDynamicRange(),
        CallableOperator(lambda x: x.detach().round(), (1, 4, 4), lift=lambda y: y),
    ):
        y = operator(torch.full((1, 1, 4, 4), -0.9))
        one = torch.ones(1)
        own = operator.pull(z, operator.residual(z, y), one, 0.01 * one)
        behind = composed(operator, codec)
        found = behind.pull(z, behind.residual(z, y), one, 0.01 * one)
        assert float(own.abs().max()) > 0
        torch.testing.assert_close(found, own, rtol=1e-3, atol=1e-4)


def test_a_prior_of_labels_is_taken_with_its_paths(tmp_path):
    prior = Labelled().given(labels=torch.linspace(-0.5, 0.5, 4))
    observation = deft.problems.Inpainting(sigma_y=0.1).draw(
        torch.zeros(4, 1, 16, 16), deft.Noise(range(4))
    )
    method = Method("DDNM", deft.DDNM(), deft.DDIM(3, eta=1.0))
    (tmp_path / "parts" / method.folder).mkdir(parents=True)
    found = path_weights(prior, observation.take([0, 1]), method, tmp_path, 4, [0, 1], 8)
    assert found["reason"] is None
    assert len(found["cards"]) == 2


def test_codes_and_images_are_told_apart():
    prior = grey()
    images = torch.linspace(-1, 1, 3)[:, None, None, None].expand(-1, 1, 16, 16)
    assert Images(images, prior).batch([0], deft.Noise([0])).x_0.shape == (1, 1, 8, 8)
    codes = 5 * torch.randn(3, 1, 8, 8)
    assert torch.equal(Images(codes, prior).batch([1], deft.Noise([0])).x_0[0], codes[1])
    with pytest.raises(InvalidInput) as caught:
        Images(codes, prior, flip=True)
    assert (caught.value.what, caught.value.given) == ("flip", "codes")
    with pytest.raises(InvalidInput):
        Images(2 + images, prior)


def test_slopes_leave_the_h_as_it_was():
    prior = grey()
    h = deft.LearnedHTransform(prior.event_shape, prior.scale, channels=(4,), attention=(False,))
    images = 0.3 * torch.randn(4, 1, 16, 16, dtype=DOUBLE)
    made = calibrate(
        h, prior, deft.problems.Inpainting(sigma_y=0.1), images, levels=2, progress=False
    )
    assert {p.dtype for p in h.parameters()} == {torch.float32}
    assert made.slopes.dtype == torch.float32


def test_a_moved_observation_leaves_the_codec_of_the_prior_where_it_is():
    codec = tall()
    observation = Observation(torch.zeros(1, 1, 8, 8), GaussianLikelihood(Identity(), 0.1)).behind(
        codec
    )
    assert observation.to("meta").y.device.type == "meta"
    assert codec.weight.device.type == "cpu"


def test_a_known_lift_stays_known_behind_a_codec():
    codec = tall()
    given = Observation(torch.ones(1, 1, 8, 8), GaussianLikelihood(Identity(), 0.1))
    behind = given.with_lift(torch.zeros(1, 1, 8, 8)).behind(codec)
    torch.testing.assert_close(behind.lifted, codec.encode(torch.zeros(1, 1, 8, 8)))


def test_readings_of_a_measurement_are_judged_in_the_space_of_the_prior(monkeypatch):
    prior, seen = grey(), []
    denoise = prior.denoise
    prior.denoise = lambda x_t, t: seen.append(tuple(x_t.shape[1:])) or denoise(x_t, t)
    problem = deft.problems.Tomography(views=8, sigma_y=0.1)
    observation = problem.draw(torch.zeros(1, 1, 16, 16), deft.Noise([0]))
    doubts.warn_doubts(observation, prior)
    assert set(seen) == {(1, 8, 8)}


def test_one_observation_serves_all_seeds_of_a_run():
    prior = mixture()
    matrix = deft.operators.Matrix(torch.randn(1, 2, 3, dtype=DOUBLE))
    one = Observation(torch.zeros(1, 2, dtype=DOUBLE), GaussianLikelihood(matrix, 0.3).double())
    noise = deft.Noise([1, 2, 3], dtype=DOUBLE)
    assert deft.DDIM(4).run(deft.Posterior(prior, Exact(prior), one), noise).shape == (3, 3)
    assert deft.DDNMPlus(4).run(prior, one, noise).shape == (3, 3)


def test_the_matched_level_stays_in_what_a_rescheduled_network_knows():
    prior = deft.Rescheduled(
        deft.GaussianMixture(torch.zeros(1, 1, 4, 4), torch.tensor([0.5]), None, deft.VPLinear()),
        deft.VE(),
    )
    observation = Observation(torch.zeros(1, 1, 4, 4), GaussianLikelihood(Identity(), 0.01))
    h = deft.LearnedHTransform(
        (1, 4, 4), prior.scale, point="matched", channels=(4,), patch=1, attention=(False,)
    )
    assert bool(deft.DDIM(10)(deft.Posterior(prior, h, observation), 2, seed=0).isfinite().all())


def test_a_window_by_name_is_that_of_its_numbers():
    same_units({"units": {"window": "lung"}}, (-1350.0, 150.0))
    with pytest.raises(InvalidInput) as caught:
        same_units({"units": {"window": "lung"}}, (-1000.0, 150.0))
    assert caught.value.what == "window"


def test_nothing_is_something():
    prior = mixture()
    matrix = deft.operators.Matrix(torch.randn(2, 2, 3, dtype=DOUBLE))
    two = Observation(torch.zeros(2, 2, dtype=DOUBLE), GaussianLikelihood(matrix, 0.3).double())
    none = two.take([])
    posterior = deft.Posterior(prior, Exact(prior), none)
    drawn = deft.DDIM(3)(posterior, 2)
    assert (drawn.shape, drawn.dtype) == ((0, 2, 3), DOUBLE)
    smc = deft.TwistedSMC(deft.GaussianPotential.for_prior(prior), 3)
    assert smc(posterior, 4).x_0.shape == (0, 4, 3)
    assert len(Context({"label": torch.zeros(3)}).take([]).values["label"]) == 0


def test_a_boolean_index_is_a_mask():
    noise = deft.Noise([5, 6, 7])
    assert noise.take(torch.tensor([True, False, True])).seeds == [5, 7]


def test_no_room_is_not_no_derivative():
    def full(x):
        raise torch.OutOfMemoryError("CUDA out of memory")

    operator = CallableOperator(full, (1, 2, 2), lift=lambda y: y, differentiable=True)
    with pytest.raises(torch.OutOfMemoryError):
        operator.transposed_derivative(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2))


def test_a_weight_may_be_a_plain_number_of_time():
    prior = mixture()
    matrix = deft.operators.Matrix(torch.randn(1, 2, 3, dtype=DOUBLE))
    one = Observation(torch.zeros(1, 2, dtype=DOUBLE), GaussianLikelihood(matrix, 0.3).double())
    drawn = [
        deft.DDIM(3)(deft.Posterior(prior, deft.DPS(weight), one), 1, seed=0)
        for weight in (lambda t: 0.5, 0.5)
    ]
    assert torch.equal(*drawn)
