"""A learned h-transform on tiles: the same as plain with one tile, exact where it can be, and what
it refuses.
"""

import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.calibrated import Calibrated
from deft.htransforms.exact import Exact
from deft.htransforms.learned import LearnedHTransform
from deft.htransforms.paper import PaperHTransform
from deft.htransforms.pigdm import PiGDM
from deft.htransforms.tiled import TiledHTransform, reach
from deft.likelihoods import GaussianLikelihood, Observation
from deft.metrics.image import misfit
from deft.noise import Noise
from deft.operators.blur import Blur
from deft.operators.callable import CallableOperator
from deft.operators.identity import Identity
from deft.operators.inpainting import Inpainting
from deft.operators.matrix import Matrix
from deft.operators.nonlinear_blur import NonlinearBlur
from deft.operators.super_resolution import SuperResolution
from deft.posterior import Posterior
from deft.priors.gaussian_mixture import GaussianMixture
from deft.priors.tiled import Tiled
from deft.priors.tiles import Tiles
from deft.samplers.ddim import DDIM
from deft.samplers.dpm_solver import DPMSolver
from deft.schedules import VPLinear
from tests.contracts.htransform import HTransformContract

DOUBLE = torch.float64
SMALL, LARGE = (2, 8, 8), (2, 19, 22)


def white(shape):
    return GaussianMixture(
        torch.zeros(1, *shape, dtype=DOUBLE), torch.tensor([0.36], dtype=DOUBLE), None, VPLinear()
    )


def learned(point="x_t", trained=True, scale=0.6):
    torch.manual_seed(0)
    h = LearnedHTransform(
        SMALL, scale, point=point, channels=(4, 6), attention=(False, False), patch=1
    ).double()
    for parameter in h.nn1.parameters() if trained else ():
        torch.nn.init.normal_(parameter, std=0.1)
    return h.eval()


def calibrated(point="x_t"):
    h = Calibrated(learned(point), SMALL, low=-4, high=4, levels=3).double()
    h.slopes.fill_(0.2)
    return h


def box(size, at=(0, 0)):
    mask = torch.ones(1, 1, *size, dtype=DOUBLE)
    mask[..., at[0] + 2 : at[0] + 6, at[1] + 3 : at[1] + 7] = 0
    return Inpainting(mask)


def measured(operator, shape, sigma_y=0.1, n=1):
    noise = Noise(range(n), dtype=DOUBLE)
    likelihood = GaussianLikelihood(operator, sigma_y)
    x_0 = 0.6 * noise.normal(1, shape)
    return Observation(likelihood.sample(x_0, noise.stream(1)), likelihood)


class TestOnTiles(HTransformContract):
    def prior(self):
        return Tiled(white((2, 4, 4)), (2, 6, 7))

    def h_transform(self, prior):
        torch.manual_seed(0)
        h = LearnedHTransform((2, 4, 4), prior.scale, channels=(4, 4), attention=(False, False))
        return TiledHTransform(h.double(), prior.event_shape)


@pytest.mark.parametrize("point", ["x_t", "pivot", "matched"])
@pytest.mark.parametrize("make", [learned, calibrated])
def test_one_tile_is_plain_sampling(point, make):
    small, h = white(SMALL), make(point)
    observation = measured(box(SMALL[1:]), SMALL, n=2)
    one = Posterior(Tiled(small, SMALL), TiledHTransform(h, SMALL), observation)
    for sampler in (DDIM(5, eta=1.0), DPMSolver(5)):
        torch.testing.assert_close(
            sampler(one, 2, seed=4),
            sampler(Posterior(small, h, observation), 2, seed=4),
            rtol=0,
            atol=1e-10,
        )


ACROSS = {
    "blur": Blur(torch.ones(1, 5, 5, dtype=DOUBLE) / 25, "circular"),
    "averages": SuperResolution(2, (2, 20, 22)).double(),
    "bicubic averages": SuperResolution(2, (2, 20, 22), "bicubic").double(),
    "mask": box((20, 22), at=(5, 6)),
}


@pytest.mark.parametrize("operator", ACROSS.values(), ids=ACROSS)
@pytest.mark.parametrize("point", ["x_t", "pivot"])
def test_untrained_it_is_exact_for_a_white_gaussian_across_borders(operator, point):
    shape = (2, 20, 22)
    whole, tiled = white(shape), Tiled(white(SMALL), shape, overlap=3)
    observation = measured(operator, shape, n=2)
    h = TiledHTransform(learned(point, trained=False), shape, overlap=2)
    x_t = Noise(range(2), dtype=DOUBLE).normal(5, shape)
    for t in (0.1, 0.5, 0.9):
        t = torch.tensor([t], dtype=DOUBLE)
        torch.testing.assert_close(
            Posterior(tiled, h, observation).denoise(x_t, t),
            Posterior(whole, Exact(whole), observation).denoise(x_t, t),
            rtol=0,
            atol=3e-5,  # h keeps the scale of the prior in single precision
        )


def test_samples_of_operators_across_borders_explain_their_measurements():
    tiled = Tiled(white(SMALL), (2, 20, 22))
    for operator in ACROSS.values():
        observation = measured(operator, (2, 20, 22), n=8)
        h = TiledHTransform(learned(trained=False), (2, 20, 22))
        x = DPMSolver(40)(Posterior(tiled, h, observation), 1)[:, 0]
        assert 0.9 < float(misfit(x, observation).mean()) < 1.1


@pytest.mark.parametrize("point", ["x_t", "pivot", "matched"])
def test_prior_and_h_have_the_same_tiles_in_each_step(point, monkeypatch):
    asked = []
    cuts = Tiles.cuts

    def noted(tiles, signals, like, log_snr):
        every = list(cuts(tiles, signals, like, log_snr))
        asked.append([[start for start, _ in place] for cut in every for place in cut.places])
        return every

    monkeypatch.setattr(Tiles, "cuts", noted)
    tiled, h = (
        Tiled(white(SMALL), LARGE, overlap=1),
        TiledHTransform(learned(point), LARGE, overlap=1),
    )
    DPMSolver(12)(Posterior(tiled, h, measured(box(LARGE[1:]), LARGE)), 1)
    assert len(asked) == 24
    assert asked[::2] == asked[1::2]
    assert any(a != b for a, b in zip(asked[::2], asked[2::2]))


@pytest.mark.parametrize("layout", ["moving", "fixed"])
def test_its_configuration_builds_it_again(layout):
    h = TiledHTransform(learned(), LARGE, overlap=3, layout=layout)
    assert TiledHTransform(**h.config).tiles == h.tiles


@pytest.mark.parametrize("batch", [1, 7])
def test_the_micro_batch_changes_no_result(batch):
    tiled, observation = Tiled(white(SMALL), LARGE), measured(box(LARGE[1:]), LARGE, n=2)
    x_t = Noise(range(2), dtype=DOUBLE).normal(5, LARGE)
    t = torch.tensor([0.3, 0.6], dtype=DOUBLE)
    for h in (learned(), calibrated(), learned("matched")):
        few, many = (
            Posterior(tiled, TiledHTransform(h, LARGE, batch=size), observation).denoise(x_t, t)
            for size in (batch, None)
        )
        torch.testing.assert_close(few, many, rtol=0, atol=1e-12)


def test_how_far_operators_reach():
    def of(operator, shape=(1, 32, 32), prior=None):
        prior = prior or white(shape)
        return reach(prior, measured(operator, shape))

    assert of(Identity()) == (0, 0)
    assert of(box((32, 32), at=(12, 12))) == (0, 0)  # unseen in the middle
    assert of(Blur(torch.ones(1, 5, 5, dtype=DOUBLE) / 25, "reflect")) == (4, 4)
    assert max(of(SuperResolution(4, (1, 32, 32)).double())) < 4
    assert max(of(NonlinearBlur(torch.ones(1, 5, 5, dtype=DOUBLE) / 25), (3, 32, 32))) < 32
    g = torch.Generator().manual_seed(0)
    dense = Matrix(torch.randn(40, 1024, generator=g, dtype=DOUBLE), (1, 32, 32))
    assert min(of(dense)) >= 15
    black_box = CallableOperator(lambda x: x.detach(), (1, 32, 32), lift=lambda y: y)
    assert of(black_box) == (0, 0)


def refused(operator, match, shape=LARGE, h=None):
    observation = measured(operator, shape)
    with pytest.raises(InvalidInput, match=match):
        Posterior(Tiled(white(SMALL), shape), h or TiledHTransform(learned(), shape), observation)


def test_an_operator_that_reaches_beyond_a_tile_is_refused():
    wide = Blur(torch.ones(1, 9, 9, dtype=DOUBLE) / 81, "circular")
    refused(wide, "tiles of 8 x 8 for CircularBlur: got an operator that reaches 8 places far")
    narrow = Blur(torch.ones(1, 7, 7, dtype=DOUBLE) / 49, "circular")
    Posterior(
        Tiled(white(SMALL), LARGE), TiledHTransform(learned(), LARGE), measured(narrow, LARGE)
    )
    Posterior(Tiled(white(SMALL), LARGE), PiGDM(), measured(wide, LARGE))


def test_an_operator_of_another_size_is_refused():
    likelihood = GaussianLikelihood(SuperResolution(2, (2, 8, 8)).double(), 0.1)
    observation = Observation(torch.zeros(1, 2, 4, 4, dtype=DOUBLE), likelihood)
    with pytest.raises(InvalidInput, match=r"one of the whole picture, \(2, 19, 22\).*ake the op"):
        Posterior(Tiled(white(SMALL), LARGE), TiledHTransform(learned(), LARGE), observation)


def test_what_cannot_work_on_tiles_is_refused():
    for h in (PiGDM(), PaperHTransform(SMALL, 0.6)):
        with pytest.raises(InvalidInput, match="reads maps of its signals"):
            TiledHTransform(h, LARGE)
    with pytest.raises(InvalidInput, match="at least 8 x 8"):
        TiledHTransform(learned(), (2, 7, 20))
    other = TiledHTransform(learned(), (2, 19, 24))
    refused(box(LARGE[1:]), "made for signals of another shape", h=other)
