import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from deft.likelihoods import GaussianLikelihood
from deft.operators import JPEG
from deft.operators.jpeg import planes
from deft.operators.jpeg.tables import table
from tests.contracts.operator import OperatorContract
from tests.refusal import refused

SUBSAMPLING = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}


def picture(shape, seed=0):
    """Smooth colours, with some texture, as whole grey levels."""
    generator = torch.Generator().manual_seed(seed)
    channels, height, width = shape
    x = torch.zeros(1, *shape)
    for size, strength in ((3, 0.5), (7, 0.3), (15, 0.2), (29, 0.1)):
        coarse = torch.randn(1, channels, size, size, generator=generator)
        x += strength * F.interpolate(coarse, size=(height, width), mode="bilinear")
    return (90 * x + 128).round().clamp(0, 255)


def stored(pixels, quality, chroma):
    """What Pillow's decoder makes of what Pillow's encoder made."""
    array = pixels[0].permute(1, 2, 0).byte().numpy()
    file = io.BytesIO()
    image = Image.fromarray(array if array.shape[2] == 3 else array[..., 0])
    image.save(file, "JPEG", quality=quality, subsampling=SUBSAMPLING[chroma])
    found = torch.from_numpy(np.asarray(Image.open(file)).copy())
    return (found[..., None] if found.ndim == 2 else found).permute(2, 0, 1)[None].float()


class TestGrey(OperatorContract):
    event_shape = (1, 9, 12)

    def make(self, seeds):
        return JPEG(40)


class TestColour(OperatorContract):
    event_shape = (3, 10, 17)

    def make(self, seeds):
        return JPEG(20)


@pytest.mark.parametrize("chroma", SUBSAMPLING)
@pytest.mark.parametrize("quality", [10, 50, 90])
@pytest.mark.parametrize("shape", [(1, 53, 40), (3, 64, 64), (3, 53, 75)])
def test_it_is_the_reference_decoder_within_rounding(shape, quality, chroma):
    """Four in five values are the same; a grey level apart are all but those of blocks where a
    coefficient lay between two cells: such a block moves as a whole, and others do not.
    """
    pixels = picture(shape)
    found = JPEG(quality, chroma, (0.0, 255.0))(pixels)
    apart = (found - stored(pixels, quality, chroma)).abs()
    assert float((apart < 0.01).float().mean()) > 0.8
    assert float((apart < 1.01).float().mean()) > 0.9
    blocks = F.avg_pool2d(apart.mean(1, keepdim=True), 8, ceil_mode=True)
    assert float((blocks < 0.5).float().mean()) > 0.75


def test_the_tables_are_pillows():
    for quality in (1, 10, 49, 50, 75, 90, 100):
        file = io.BytesIO()
        Image.new("RGB", (8, 8)).save(file, "JPEG", quality=quality)
        ours = [table(quality), table(quality, chrominance=True)]
        theirs = Image.open(file).quantization
        for k in (0, 1):
            assert ours[k].flatten().int().tolist() == list(theirs[k])


def test_the_transform_of_blocks_is_orthonormal():
    x = torch.randn(2, 1, 16, 24, dtype=torch.float64)
    c = planes.blocks(x)
    torch.testing.assert_close(c.square().sum(), x.square().sum())
    torch.testing.assert_close(planes.plane(c), x)
    torch.testing.assert_close(c[..., 0, 0], 8 * F.avg_pool2d(x, 8))


@pytest.mark.parametrize("sampling", [(1, 2), (2, 2)])
def test_what_interpolation_does_to_samples_is_undone(sampling):
    c = 50 * torch.randn(1, 2, 5, 7, dtype=torch.float64)
    size = (5 * sampling[0], 14)
    between = planes.averaged(planes.interpolated(c, *sampling, size), *sampling)
    assert (planes.sharpened(between, *sampling) - c).abs().max() < 3  # whole levels


class TestPull:
    """q = 16 for the brightness of a block at quality 50: c = 8 times its mean, in levels."""

    operator = JPEG(50, value_range=(0.0, 255.0))

    def pulled(self, level, y, r=10.0, s=0.0):
        x, y = torch.full((1, 1, 8, 8), float(level)), torch.full((1, 1, 8, 8), float(y))
        likelihood = GaussianLikelihood(self.operator, s)
        r_t = torch.tensor([r])
        return float((x + r_t * likelihood.guidance(x, r_t, y)).mean())

    def test_nothing_is_said_within_the_cell(self):
        x = torch.full((1, 1, 8, 8), 129.0)
        guidance = GaussianLikelihood(self.operator, 0.0).guidance(
            x, torch.ones(1), self.operator(x)
        )
        assert torch.equal(guidance, torch.zeros_like(x))

    @pytest.mark.parametrize(("level", "edge"), [(120, 137.5), (150, 138.5)])
    def test_an_estimate_goes_to_the_nearest_point_within_the_cell(self, level, edge):
        """A mean of 138 is c = 80 = 5 q, its cell 72 to 88, the inner half of it 76 to 84: means
        of 137.5 to 138.5.
        """
        assert self.pulled(level, 138, 100.0) == pytest.approx(edge, abs=1e-3)

    def test_noise_makes_it_weaker(self):
        """A deviation s = 3 of each entry is 3 of a coefficient, and leaves doubts of a cell of 16:
        r^2 / (r^2 + s^2) of the way to its edge.
        """
        away = 137 - 120
        assert self.pulled(120, 138, 10.0, 3.0) == pytest.approx(120 + away * 100 / 109, abs=1e-3)

    def test_it_stays_within_reach(self):
        x = torch.full((1, 1, 8, 8), 20.0)
        y = torch.full((1, 1, 8, 8), 200.0)
        r_t = torch.tensor([2.0])
        guidance = GaussianLikelihood(self.operator, 0.0).guidance(x, r_t, y)
        assert float(guidance.square().mean().sqrt()) == pytest.approx(3, rel=1e-4)

    @pytest.mark.parametrize("chroma", SUBSAMPLING)
    @pytest.mark.parametrize("quality", [10, 50])
    def test_one_step_explains_the_measurement(self, quality, chroma):
        """From another picture to the cells of y: what is encoded again is y, nearly."""
        operator = JPEG(quality, chroma, (0.0, 255.0))
        y, x = operator(picture((3, 32, 48))), picture((3, 32, 48), seed=1)
        r2, none = torch.tensor([1e6]), torch.zeros(1)
        after = x + 1e6 * operator.pull(x, y - operator(x), r2, none)
        before = (operator(x) - y).square().mean().sqrt()
        assert (operator(after) - y).square().mean().sqrt() < 0.12 * before


def test_the_derivative_is_straight_through():
    x = (0.3 * torch.randn(1, 1, 8, 8, dtype=torch.float64)).requires_grad_()
    v = torch.randn(1, 1, 8, 8, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((JPEG(10)(x) * v).sum(), x)
    torch.testing.assert_close(gradient, v)


def test_errors():
    for quality in (0, 101):
        refused(lambda quality=quality: JPEG(quality), quality, "a whole number from 1 to 100")
    refused(lambda: JPEG(10)(torch.ones(1, 2, 8, 8)), "signals of 2 channels", "1 (grey) or 3")
