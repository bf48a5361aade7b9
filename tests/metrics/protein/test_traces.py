import pytest
import torch

from deft.errors import InvalidInput
from deft.metrics.protein import bonds, stacked
from deft.metrics.protein.traces import checked
from tests.metrics.protein.folds import helix, strand


def test_chains_of_different_lengths_are_padded_at_their_ends():
    x, mask = stacked([helix(9), strand(6)])
    assert x.shape == (2, 9, 3)
    assert mask.sum(1).tolist() == [9, 6]
    assert not x[1, 6:].any()


def test_padding_says_nothing():
    x, mask = stacked([helix(9), strand(6)])
    x[1, 6:] = torch.nan
    assert bonds(x, mask).tolist() == [1.0, 1.0]
    assert checked(x, mask)[0].isfinite().all()


@pytest.mark.parametrize(
    ("x", "mask", "what"),
    [
        (torch.zeros(5, 3), None, "x"),
        (torch.zeros(2, 5, 2), None, "x"),
        (torch.zeros(2, 5, 3), torch.ones(2, 5), "mask"),
        (torch.zeros(2, 5, 3), torch.ones(2, 4, dtype=torch.bool), "mask"),
        (torch.zeros(1, 3, 3), torch.tensor([[True, False, True]]), "mask"),
        (torch.zeros(1, 3, 3), torch.tensor([[False, False, False]]), "mask"),
        (torch.full((1, 3, 3), torch.nan), None, "x"),
    ],
)
def test_what_is_no_batch_of_traces_is_refused(x, mask, what):
    with pytest.raises(InvalidInput) as refused:
        checked(x, mask)
    assert refused.value.what == what


def test_none_is_no_batch():
    with pytest.raises(InvalidInput, match="one chain"):
        stacked([])
