import pytest
import torch

from deft.errors import InvalidInput
from deft.likelihoods import GaussianLikelihood, Observation
from deft.operators.matrix import Matrix
from deft.operators.super_resolution import SuperResolution
from deft.samplers.ddnm_plus import DDNMPlus
from deft.samplers.ddrm import DDRM
from tests.closed_form import DOUBLE
from tests.contracts.htransform import images


@pytest.mark.parametrize("method", [DDRM, DDNMPlus])
def test_an_operator_that_was_decomposed_beforehand(method):
    """Block averages by their own singular values and by those of their matrix: the same
    samples, from the measurement in its own shape.
    """
    prior = images()
    operator, other = SuperResolution(2, prior.event_shape), SuperResolution(4, prior.event_shape)
    y = operator(torch.rand(2, *prior.event_shape, dtype=DOUBLE))
    posterior = (prior, Observation(y, GaussianLikelihood(operator, 0.05)))
    own = method(6)(*posterior, 1, seed=0)
    found = method(6, operator=Matrix.of(operator, prior.event_shape).double())(
        *posterior, 1, seed=0
    )
    torch.testing.assert_close(found, own, rtol=1e-3, atol=1e-3)
    with pytest.raises(InvalidInput, match="other ones than SuperResolution of the observation"):
        method(6, operator=Matrix.of(other, prior.event_shape).double())(*posterior, 1)
