"""What the axes of signals are: a learned h-transform reads one kind and refuses others."""

import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.conditional_score import ConditionalScore
from deft.htransforms.dps import DPS
from deft.htransforms.flat import FlatHTransform
from deft.htransforms.learned import LearnedHTransform
from deft.htransforms.paper import PaperHTransform
from deft.likelihoods import GaussianLikelihood, Observation
from deft.operators.identity import Identity
from deft.posterior import Posterior
from deft.priors.gaussian_mixture import GaussianMixture
from deft.priors.rescheduled import Rescheduled
from deft.schedules import VPCosine
from deft.studies.counted import Counted
from deft.types import axes_of
from tests.extending.cloud import CloudPrior

LEARNED = [LearnedHTransform, PaperHTransform, ConditionalScore]


def prior(*shape):
    return GaussianMixture(torch.zeros(1, *shape), torch.tensor([0.5]), None, VPCosine())


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((7,), "vector"), ((3, 7), "sequence"), ((3, 4, 5), "image"), ((1, 4, 4, 4), "volume")],
)
def test_by_their_number(shape, axes):
    assert axes_of(shape) == prior(*shape).event_axes == axes


def test_a_cloud_says_so_and_what_is_around_it_too():
    cloud = CloudPrior()
    assert (
        cloud.event_axes
        == Counted(cloud).event_axes
        == Rescheduled(cloud, VPCosine()).event_axes
        == "cloud"
    )


@pytest.mark.parametrize("learned", LEARNED)
def test_points_are_no_sequence(learned):
    cloud = CloudPrior()
    with pytest.raises(InvalidInput) as caught:
        learned.for_prior(cloud)
    assert caught.value.given == "a prior of a cloud, (5, 3)"
    made = learned((5, 3), cloud.scale)
    observation = Observation(torch.zeros(1, 5, 3), GaussianLikelihood(Identity(), 0.1))
    with pytest.raises(InvalidInput) as caught:
        Posterior(cloud, made, observation)
    assert (caught.value.given, caught.value.expected) == (
        "a prior of a cloud",
        "one of a sequence",
    )
    assert caught.value.advice


def test_a_vector_is_read_by_the_flat_one_alone():
    for learned in LEARNED:
        with pytest.raises(InvalidInput):
            learned.for_prior(prior(7))
    assert FlatHTransform.for_prior(prior(7)).event_axes == "vector"


def test_a_method_that_learns_nothing_takes_any():
    observation = Observation(torch.zeros(1, 5, 3), GaussianLikelihood(Identity(), 0.1))
    Posterior(CloudPrior(), DPS(0.1), observation)
