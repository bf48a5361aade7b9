"""A prior, an h-transform and images that are evaluated in a blink."""

import pytest
import torch

from deft.htransforms.learned import LearnedHTransform
from deft.priors.unet import UNetPrior
from deft.schedules import VPLinear


@pytest.fixture(scope="module")
def prior():
    torch.manual_seed(0)
    return UNetPrior(
        (1, 16, 16), VPLinear(), channels=(8, 8), attention=(False, False), blocks=1
    ).frozen()


@pytest.fixture(scope="module")
def h_transform(prior):
    torch.manual_seed(1)
    return LearnedHTransform.for_prior(prior, fraction=0.5)


@pytest.fixture(scope="module")
def images():
    rough = torch.randn(5, 1, 18, 18, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.avg_pool2d(rough, 3, 1).clamp(-1, 1)
