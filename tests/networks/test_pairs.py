"""Pairs of residues: the nearest are all where there are enough, nothing jumps, padding is none."""

import pytest
import torch

from deft.networks.frames import frames
from deft.networks.pairs import AllPairs, NearestPairs
from tests.networks.test_equivariant import chains

CENTRES = torch.tensor([2.0, 4.0, 8.0]).double()


def in_full(over, values, n):
    """What the nearest pairs say, at its place among all pairs; zero elsewhere."""
    index = over.index.reshape(*over.index.shape, *(1,) * (values.ndim - 3)).expand_as(values)
    whole = values.new_zeros(*values.shape[:2], n, *values.shape[3:])
    return whole.scatter(2, index, values)


def test_with_as_many_as_there_are_the_nearest_are_all():
    y, mask = chains(9, 12)
    every, near = AllPairs(mask, y), NearestPairs(y, mask, 12)
    axes, x = frames(y, mask), torch.randn(2, 12, 5).double()
    torch.testing.assert_close(in_full(near, near.weight, 12), every.weight.expand(2, 12, 12))
    for name, arguments in {
        "other": (x,),
        "turned": (axes,),
    }.items():
        ours, theirs = (getattr(each, name)(*arguments) for each in (near, every))
        torch.testing.assert_close(in_full(near, ours, 12), theirs.expand(2, 12, 12, -1))
    for ours, theirs in zip(
        near.between(y, axes, CENTRES), every.between(y, axes, CENTRES), strict=True
    ):
        torch.testing.assert_close(in_full(near, ours, 12), theirs, rtol=0, atol=1e-6)
    apart = in_full(near, near.apart(), 12)
    torch.testing.assert_close(apart, every.apart().expand(2, 12, 12))


def test_scores_and_sums_are_those_of_the_pairs_alone():
    y, mask = chains(9, 12)
    near = NearestPairs(y, mask, 4)
    q, k, v = torch.randn(3, 2, 2, 12, 5).double()
    scores = near.scores(q, k)
    assert scores.shape == (2, 2, 12, 4)
    i, j = 3, int(near.index[1, 3, 2])
    torch.testing.assert_close(scores[1, 0, i, 2], q[1, 0, i] @ k[1, 0, j])
    sums = near.sums(scores, v)
    there = near.index[1, i]
    torch.testing.assert_close(sums[1, 1, i], scores[1, 1, i] @ v[1, 1, there])


def test_a_neighbour_that_leaves_counts_nothing_by_then():
    """Sums are continuous where the last neighbour changes."""
    y, mask = chains(12)
    seen = []
    for step in torch.linspace(-1, 1, 2001).double():
        moved = y.clone()
        moved[0, 7, 0] += 6 * step
        near = NearestPairs(moved, mask, 4)
        values = torch.arange(12.0).double().cos()[None, :, None]
        seen.append(near.sums(near.weight[:, None], values[:, None])[0, 0, :, 0])
    jumps = torch.stack(seen).diff(dim=0).abs().max()
    assert float(jumps) < 0.05
    assert float(torch.stack(seen).std(dim=0).max()) > 0.2


def test_residues_that_do_not_exist_are_nobodys_neighbours():
    y, mask = chains(3, 12)
    near = NearestPairs(y, mask, 5)
    assert (near.weight[0, :3, :3] == 1).all()
    assert (near.weight[0, :, 3:] == 0).all()
    assert (near.bias[0, 0, :3, 3:] <= -1e4).all()
    assert (near.bias[0, 0, :3, :3] == 0).all()


@pytest.mark.parametrize("nearest", [1, 4])
def test_the_nearest_turn_with_the_chain(nearest):
    from tests.networks.test_equivariant import rotation

    (y, mask), R = chains(9, 12), rotation()
    one, other = (NearestPairs(x, mask, nearest) for x in (y, y @ R.T))
    torch.testing.assert_close(one.weight, other.weight)
    exists = one.weight > 0
    assert (one.index[exists] == other.index[exists]).all()
