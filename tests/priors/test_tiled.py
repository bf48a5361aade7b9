"""A prior of large pictures: exact where it can be, one field of noise, the same in any batch."""

import subprocess
import sys

import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.ddnm import DDNM
from deft.htransforms.exact import Exact
from deft.htransforms.mmps import MMPS
from deft.htransforms.pigdm import PiGDM
from deft.likelihoods import GaussianLikelihood, Observation
from deft.metrics.image import misfit
from deft.noise import Noise
from deft.operators.blur import Blur
from deft.operators.super_resolution import SuperResolution
from deft.posterior import Posterior
from deft.priors.gaussian_mixture import GaussianMixture
from deft.priors.identity import same_identity
from deft.priors.rescheduled import Rescheduled
from deft.priors.tiled import Tiled
from deft.priors.unet import UNetPrior
from deft.samplers.ddim import DDIM
from deft.samplers.ddnm_plus import DDNMPlus
from deft.samplers.grids import UniformLogSNR
from deft.schedules import VE, VPLinear
from tests.closed_form import gaussian
from tests.contracts.htransform import images
from tests.contracts.prior import PriorContract, within

DOUBLE = torch.float64
WHITE = GaussianMixture(
    torch.zeros(1, 2, 8, 8, dtype=DOUBLE), torch.tensor([0.36], dtype=DOUBLE), None, VPLinear()
)


def unet(shape=(1, 16, 16)):
    torch.manual_seed(0)
    made = UNetPrior(
        shape, VPLinear(), channels=(8, 8), blocks=1, patch=2, attention=(False, False)
    )
    for parameter in made.network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return made.frozen()


class TestTiled(PriorContract):
    def prior(self):
        return Tiled(images(), (2, 7, 9), overlap=2)


class TestTilesThatLieStill(PriorContract):
    def prior(self):
        return Tiled(images(), (2, 7, 9), overlap=2, layout="fixed")


class TestTilesOfAnotherSchedule(PriorContract):
    def prior(self):
        small = images()
        return Tiled(Rescheduled(small, within(small.schedule, VE)), (2, 7, 9))


def test_one_tile_is_the_prior_itself():
    small = unet()
    one = Tiled(small, (1, 16, 16))
    x_t, t = torch.randn(3, 1, 16, 16), torch.tensor([0.2, 0.5, 0.9])
    assert len(one.tiles) == 1
    with torch.no_grad():
        # a convolution sums in another order in another batch
        torch.testing.assert_close(one.denoise(x_t, t), small.denoise(x_t, t), rtol=0, atol=1e-5)
    sampler = DDIM(4, eta=1.0)
    torch.testing.assert_close(sampler(one, 2, seed=3), sampler(small, 2, seed=3))


@pytest.mark.parametrize("overlap", [0, 3, 7])
def test_it_is_exact_for_a_white_gaussian(overlap):
    whole = GaussianMixture(
        torch.zeros(1, 2, 13, 19, dtype=DOUBLE),
        torch.tensor([0.36], dtype=DOUBLE),
        None,
        VPLinear(),
    )
    x_t, t = torch.randn(2, 2, 13, 19, dtype=DOUBLE), torch.tensor([0.3, 0.8], dtype=DOUBLE)
    tiled = Tiled(WHITE, (2, 13, 19), overlap=overlap)
    torch.testing.assert_close(tiled.denoise(x_t, t), whole.denoise(x_t, t))


def blocks():
    """A Gaussian of 4 x 4 places with correlations, and one of 8 x 8 whose four quarters are
    independent of each other.
    """
    place = torch.cartesian_prod(torch.arange(8.0), torch.arange(8.0)).double()
    near = torch.exp(-torch.cdist(place, place) / 3) + 0.01 * torch.eye(64, dtype=DOUBLE)
    quarter = (place // 4) @ torch.tensor([2.0, 1.0], dtype=DOUBLE)
    whole = near * (quarter[:, None] == quarter).double()
    first = quarter == 0
    small = near[first][:, first]
    return (
        GaussianMixture(torch.full((1, 1, 4, 4), 0.3).double(), small[None], None, VPLinear()),
        GaussianMixture(torch.full((1, 1, 8, 8), 0.3).double(), whole[None], None, VPLinear()),
    )


@pytest.mark.parametrize(
    "operator",
    [
        Blur(torch.ones(1, 5, 5, dtype=DOUBLE) / 25, "reflect"),
        SuperResolution(4, (1, 8, 8), "bicubic").double(),
    ],
    ids=["blur", "bicubic averages"],
)
def test_the_posterior_of_independent_tiles_is_exact_across_their_borders(operator):
    small, whole = blocks()
    tiled = Tiled(small, (1, 8, 8), overlap=0, layout="fixed")
    noise = Noise(range(2), dtype=DOUBLE)
    likelihood = GaussianLikelihood(operator, 0.1)
    observation = Observation(likelihood.sample(whole.sample(noise), noise.stream(1)), likelihood)
    t = torch.tensor([0.5], dtype=DOUBLE)
    x_t = noise.normal(5, (1, 8, 8))
    exact = Posterior(whole, Exact(whole), observation).denoise(x_t, t)
    found = Posterior(tiled, MMPS(64), observation).denoise(x_t, t)
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-5)  # of conjugate gradients
    assert not torch.allclose(tiled.denoise(x_t, t), exact, atol=1e-2)


def test_samples_of_operators_across_borders_explain_their_measurements():
    tiled = Tiled(WHITE, (2, 20, 28), overlap=2)
    noise = Noise([0], dtype=DOUBLE)
    grid = UniformLogSNR()
    for operator in (
        Blur(torch.ones(1, 5, 5, dtype=DOUBLE) / 25, "reflect"),
        SuperResolution(4, (2, 20, 28)).double(),
    ):
        likelihood = GaussianLikelihood(operator, 0.1)
        x_0 = 0.6 * noise.normal(1, (2, 20, 28))
        observation = Observation(likelihood.sample(x_0, noise.stream(1)), likelihood)
        h = PiGDM(scale=tiled.scale)
        x = DDIM(30, eta=1.0, grid=grid)(Posterior(tiled, h, observation), 4)[0]
        seen = misfit(x, observation.take([0] * 4))
        assert 0.8 < float(seen.mean()) < 1.2


def test_methods_without_a_size_work_on_it():
    tiled = Tiled(images(), (2, 7, 9))
    likelihood = GaussianLikelihood(Blur(torch.ones(1, 3, 3, dtype=DOUBLE) / 9, "circular"), 0.1)
    noise = Noise([0], dtype=DOUBLE)
    observation = Observation(likelihood.sample(noise.normal(0, (2, 7, 9)), noise), likelihood)
    posterior = Posterior(tiled, DDNM(), observation)
    assert bool(DDIM(4, eta=1.0)(posterior, 2).isfinite().all())
    assert bool(DDNMPlus(4).draw(tiled, 2, observation=observation).x_0.isfinite().all())


def test_where_tiles_move_no_place_is_smoother_than_another():
    """Of white noise that a denoiser keeps within a tile, the mean of two tiles has less."""

    class Noisy(type(WHITE).__mro__[1]):  # Prior
        """Says something else of each tile, as if it knew nothing of the others."""

        event_shape, schedule, scale = (1, 16, 16), VPLinear(), 1.0

        def denoise(self, x_t, t):
            g = torch.Generator().manual_seed(int(1e6 * float(t)))
            return torch.randn(x_t.shape, generator=g, dtype=x_t.dtype)

    shape = (1, 64, 64)
    x_t = torch.zeros(1, *shape)
    spreads = {}
    for layout in ("moving", "fixed"):
        tiled = Tiled(Noisy(), shape, overlap=4, layout=layout)
        said = torch.cat([tiled.denoise(x_t, torch.tensor([k / 200])) for k in range(2, 200, 2)])
        columns = said.square().mean((0, 1, 2))[16:48]
        spreads[layout] = float(columns.std() / columns.mean())
    assert spreads["moving"] < 0.5 * spreads["fixed"]


@pytest.mark.parametrize("batch", [1, 5, 100])
def test_the_micro_batch_changes_no_result(batch):
    small = unet()
    x_t, t = torch.randn(2, 1, 30, 41), torch.tensor([0.2, 0.7])
    with torch.no_grad():
        found = Tiled(small, (1, 30, 41), batch=batch).denoise(x_t, t)
        torch.testing.assert_close(
            found, Tiled(small, (1, 30, 41)).denoise(x_t, t), rtol=0, atol=1e-5
        )


def test_noise_is_one_field_of_the_whole_picture():
    tiled = Tiled(WHITE, (2, 9, 11))
    noise = Noise([3, 4], dtype=DOUBLE)
    torch.testing.assert_close(tiled.noise(noise, 2), noise.normal(2, (2, 9, 11)))
    assert tiled.noise(noise, 2, draws=3).shape == (2, 3, 2, 9, 11)
    spread = tiled.initial(noise) / noise.normal(0, (2, 9, 11))
    torch.testing.assert_close(spread, spread[:1, :1, :1, :1].expand_as(spread))
    assert int(tiled.dimensions) == 2 * 9 * 11


def test_what_it_is_told_of_each_picture_goes_to_its_tiles():
    class Labelled(type(WHITE).__mro__[1]):  # Prior
        takes = ("labels",)
        event_shape, schedule, scale = (1, 4, 4), VPLinear(), 1.0

        def denoise(self, x_t, t):
            return torch.zeros_like(x_t) + self.told(x_t)["labels"][:, None, None, None]

    tiled = Tiled(Labelled().given(labels=torch.tensor([1.0, 2.0])), (1, 6, 9))
    said = tiled.denoise(torch.zeros(2, 1, 6, 9), torch.tensor([0.5]))
    torch.testing.assert_close(said, torch.tensor([1.0, 2.0])[:, None, None, None].expand_as(said))
    assert bool((tiled.take([1]).denoise(torch.zeros(1, 1, 6, 9), torch.ones(1)) == 2).all())


def test_its_identity_says_the_tiles():
    small = unet()
    ours = Tiled(small, (1, 20, 20), overlap=4).identity()
    assert ours["hash"] == small.identity()["hash"]
    assert same_identity(ours, Tiled(small, (1, 20, 20), overlap=4).identity()) == []
    assert "tiles" in same_identity(ours, Tiled(small, (1, 20, 20), overlap=8).identity())[0]
    fixed = Tiled(small, (1, 20, 20), overlap=4, layout="fixed").identity()
    assert "tiles" in same_identity(ours, fixed)[0]
    assert "event_shape" in same_identity(ours, small.identity())[0]


def test_what_has_no_tiles_is_refused():
    with pytest.raises(InvalidInput, match="a prior of a vector"):
        Tiled(gaussian(), (9,))
    with pytest.raises(InvalidInput, match=r"at least 16 x 16.*size of one tile.*nlarge or pad"):
        Tiled(unet(), (1, 8, 20))


CODE = """
import resource, sys, torch
from deft.priors.tiled import Tiled
from tests.priors.test_tiled import unet
torch.set_num_threads(1)
size = int(sys.argv[1])
small, shape = unet((1, 64, 64)), (1, size, size)
with torch.no_grad():
    small.denoise(torch.randn(4, 1, 64, 64), torch.ones(1))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    Tiled(small, shape, batch=4).denoise(torch.randn(1, *shape), torch.ones(1))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux")
def test_memory_does_not_grow_with_the_number_of_tiles():
    """Beyond a micro-batch only maps of the whole picture: a few of 4 MB at 1024 x 1024, where
    484 tiles at once would take some hundred MB.
    """
    done = subprocess.run(
        [sys.executable, "-c", CODE, "1024"], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 40_000
