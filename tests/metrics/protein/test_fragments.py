import pytest
import torch

from deft.errors import InvalidInput
from deft.metrics.protein import fragment_coverage, rmsd, stacked
from deft.metrics.protein.fragments import nearest_fragments
from tests.metrics.protein.folds import bundle, helix, moved, noise, strand


def test_windows_of_known_chains_are_covered():
    x, mask = stacked([moved(helix(30)), moved(strand(20)), bundle()])
    training, there = stacked([helix(12), strand(12)])
    coverage = fragment_coverage(x, mask, training, there)
    assert coverage[:2].tolist() == [1.0, 1.0]
    assert 0.3 < coverage[2].item() < 1  # the loops are unknown
    assert fragment_coverage(x, mask, *stacked([bundle()]))[2].item() == 1.0


def test_a_mirror_image_is_not_covered():
    x = helix(30)[None]
    assert fragment_coverage(-x, None, x, None).item() == 0.0


def test_the_distance_is_the_least_rmsd():
    training = torch.stack([bundle(), bundle() + 2 * noise((55, 3))])
    x = bundle()[None] + noise((1, 55, 3), 1)
    found, there = nearest_fragments(x, None, training, None, size=9)
    assert there.all()
    known = training.unfold(1, 9, 1).mT.flatten(0, 1)
    for place in (0, 20, 46):
        own = x[:, place : place + 9].expand_as(known)
        least = rmsd(own, known).min().item()
        assert least - 1e-6 <= found[0, place].item() <= least + 0.3


def test_padding_and_short_chains():
    x, mask = stacked([helix(12), helix(8)])
    coverage = fragment_coverage(x, mask, helix(30)[None], None)
    assert coverage[0].item() == 1.0
    assert coverage[1].isnan()  # it has no window of 9


@pytest.mark.parametrize("size", [3, 31])
def test_windows_that_no_chain_has(size):
    with pytest.raises(InvalidInput, match="size"):
        fragment_coverage(helix(30)[None], None, helix(40)[None], None, size=size)
