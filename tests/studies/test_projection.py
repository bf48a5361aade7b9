import pytest
import torch

from deft.errors import InvalidInput
from deft.studies.projection import principal_axes, projected


def test_principal_axes():
    x = torch.randn(5000, 4, dtype=torch.float64) * torch.tensor(
        [0.1, 3.0, 0.2, 1.0], dtype=torch.float64
    )
    torch.testing.assert_close(
        principal_axes(x), torch.eye(4, dtype=torch.float64)[[1, 3]], rtol=0, atol=0.05
    )


def test_two_axes_need_two_signals():
    with pytest.raises(InvalidInput, match="at least two signals"):
        principal_axes(torch.zeros(1, 2, 3))


def test_a_signal_lies_where_its_axes_say():
    x = torch.tensor([[[1.0, 2.0, 3.0]]])
    place = projected("a", x, torch.ones(3).double(), torch.eye(3)[[2, 0]])
    assert place.tolist() == [[2.0, 0.0]]
