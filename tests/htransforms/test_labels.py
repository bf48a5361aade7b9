import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.base import NoConditioning
from deft.htransforms.dps import DPS
from deft.htransforms.labels import labelled
from deft.htransforms.lgd import LGD
from deft.htransforms.pigdm import PiGDM
from deft.noise import Noise
from deft.posterior import Posterior
from tests.closed_form import DOUBLE, mixture


def test_labels_are_taken_and_repeated():
    observation = labelled(torch.tensor([3, 5, 7]))
    assert observation.y.tolist() == [3.0, 5.0, 7.0]
    assert observation.y.dtype == torch.get_default_dtype()
    assert observation.take([2, 0]).y.tolist() == [7.0, 3.0]
    assert observation.repeat(2).y.tolist() == [3.0, 3.0, 5.0, 5.0, 7.0, 7.0]
    assert len(observation.to("cpu")) == 3


def test_embeddings_keep_their_precision():
    embedding = torch.randn(2, 4, dtype=DOUBLE)
    assert labelled(embedding).y is embedding


def test_a_posterior_is_made_and_measurements_are_refused():
    prior, observation = mixture(), labelled(torch.tensor([0, 1]))
    x_t, t = torch.randn(2, 3, dtype=DOUBLE), torch.tensor([0.4], dtype=DOUBLE)
    assert torch.equal(
        Posterior(prior, NoConditioning(), observation).denoise(x_t, t), prior.denoise(x_t, t)
    )
    for method in (PiGDM(), LGD()):
        with pytest.raises(InvalidInput, match=r"got Unmeasured|has none"):
            Posterior(prior, method, observation)
    with pytest.raises(
        InvalidInput, match=r"a label has no forward operator.*use Classifier or ClassifierFree"
    ):
        Posterior(prior, DPS(1.0), observation).denoise(x_t, t)


def test_nothing_of_a_measurement_is_there():
    observation = labelled(torch.tensor([0, 1]))
    x, y = torch.randn(2, 3), observation.y
    likelihood = observation.likelihood
    calls = [
        lambda: likelihood.log_prob(x, y),
        lambda: likelihood.sample(x, Noise([0, 1])),
        lambda: likelihood.guidance(x, torch.ones(1), y),
        lambda: observation.operator(x),
        lambda: observation.operator.lift(y),
    ]
    for call in calls:
        with pytest.raises(InvalidInput, match="a label has no forward operator"):
            call()
