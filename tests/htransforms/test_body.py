import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.body import default_patch
from deft.htransforms.learned import LearnedHTransform
from deft.htransforms.paper import PaperHTransform
from deft.priors.unet import UNetPrior
from deft.schedules import VPLinear

SHAPES = [(1, 32, 32), (3, 20, 28), (3, 64, 64), (2, 40), (1, 9, 7)]
KINDS = [LearnedHTransform, PaperHTransform]
NUMBERS = {LearnedHTransform: 2, PaperHTransform: 1}


def prior(shape):
    """Some two million parameters, none of them stored."""
    with torch.device("meta"):
        made = UNetPrior(shape, VPLinear(), channels=(64, 96, 128), blocks=1)
    made.gaussian.to_empty(device="cpu")
    made.gaussian.variance.fill_(0.25)
    return made


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fraction", [0.02, 0.05, 0.2])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_fraction_is_honoured(shape, fraction, kind):
    frozen = prior(shape)
    with torch.device("meta"):
        share = kind.for_prior(frozen, fraction=fraction).num_parameters / frozen.num_parameters
    assert share == pytest.approx(
        fraction, rel=0.18
    )  # widths move in steps of two: half a step at width 10 is 17 %


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_made_for_the_signals_of_the_prior(shape, kind):
    h = kind.for_prior(prior(shape), fraction=0.01)
    x = torch.randn(2, h.nn1.enter.in_channels // h.config["patch"] ** (len(shape) - 1), *shape[1:])
    assert h.nn1(x, torch.zeros(2, NUMBERS[kind])).shape == (2, *shape)


def test_width_is_what_a_larger_fraction_buys():
    small, large = (
        LearnedHTransform.for_prior(prior((3, 64, 64)), fraction=fraction)
        for fraction in (0.01, 0.05)
    )
    assert len(small.config["channels"]) == len(large.config["channels"])
    assert all(a < b for a, b in zip(small.config["channels"], large.config["channels"]))


@pytest.mark.parametrize(
    ("shape", "patch"),
    [
        ((1, 8, 8), 2),
        ((1, 32, 32), 2),
        ((3, 64, 64), 4),
        ((3, 256, 256), 8),
        ((1, 2000), 8),
        ((1, 64, 200), 8),
    ],
)
def test_patches_grow_with_the_signal(shape, patch):
    assert default_patch(shape) == patch


@pytest.mark.parametrize("kind", KINDS)
def test_errors(kind):
    for fraction in (0.0, 1.5):
        with pytest.raises(InvalidInput, match="fraction: got"):
            kind.for_prior(prior((1, 8, 8)), fraction=fraction)
    for shape in ((7,), (1, 2, 3, 4)):
        with pytest.raises(
            InvalidInput, match=r"shape \(channels, length\) or \(channels, height, width\); got"
        ):
            kind(shape, 0.5)
