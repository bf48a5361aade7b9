import pytest
import torch

from deft.geometry import superposed
from deft.metrics.protein import rmsd, stacked, tm_score
from deft.metrics.protein.tm_score import reach, windows
from tests.metrics.protein.folds import bundle, helix, moved, noise


def test_the_distance_of_the_score():
    # 1.24 (100 - 15)^(1/3) - 1.8, and never below a half
    assert reach(torch.tensor([100, 15, 3])).tolist() == pytest.approx([3.6521, 0.5, 0.5], abs=1e-3)


def test_the_same_structure_moved_scores_one():
    x = torch.stack([bundle(), bundle()])
    z = torch.stack([bundle(), moved(bundle())])
    assert tm_score(x, z).tolist() == pytest.approx([1.0, 1.0])


def test_a_chain_of_which_one_half_is_moved():
    """Each half alone fits: at least its share, and hardly more where the rest is far away."""
    x = bundle(25)  # 85 residues
    z = x.clone()
    z[40:] = x[40:] + torch.tensor([0.0, 0.0, 300.0])
    found = tm_score(x[None], z[None]).item()
    assert 45 / 85 <= found <= 45 / 85 + 0.001
    # the superposition of least RMSD splits the difference and loses both halves
    fitted = superposed(x[None], z[None], torch.ones(1, 85).double())
    near = 1 / (1 + (fitted - z).square().sum(-1) / reach(torch.tensor(85)) ** 2)
    assert near.mean().item() < 0.1


def test_mirror_images_and_unrelated_chains_score_low():
    x = bundle()[None]
    assert tm_score(x, -x).item() < 0.45
    steps = noise((20, 80, 3))
    walk = 1.5 * steps.cumsum(1)
    assert tm_score(walk[:10], walk[10:]).mean().item() < 0.3


def test_it_is_at_least_what_least_squares_gives():
    x = bundle().repeat(8, 1, 1)
    z = x + torch.linspace(0.3, 6, 8)[:, None, None] * noise(x.shape)
    fitted = superposed(x, z, torch.ones(8, 55).double())
    near = 1 / (1 + (fitted - z).square().sum(-1) / reach(torch.tensor(55)) ** 2)
    found = tm_score(x, z)
    assert (found >= near.mean(1) - 1e-9).all()
    assert (found.diff() < 0.05).all()  # more noise, less similar
    assert rmsd(x, z)[0].item() < 1


def test_more_starts_find_no_more():
    """A search from 100 random sets of residues agrees with that from the few of `windows`."""
    x, z = bundle()[None], (bundle() + 3 * noise((55, 3)))[None]
    x, z = torch.cat([x, -x]), torch.cat([z, bundle()[None]])
    found = tm_score(x, z)
    generator = torch.Generator().manual_seed(1)
    best = torch.zeros(2).double()
    for _ in range(100):
        weights = (torch.rand(2, 55, generator=generator) < 0.15).double()
        for _ in range(15):
            fitted = superposed(x, z, weights)
            near = 1 / (1 + (fitted - z).square().sum(-1) / reach(torch.tensor(55)) ** 2)
            weights = near**2
        best = torch.maximum(best, near.mean(1))
    assert (found >= best - 0.02).all()


def test_padding_and_batches():
    a, b = bundle(), helix(30)
    x, mask = stacked([a, b])
    z, _ = stacked([a + noise(a.shape), b + noise(b.shape)])
    together = tm_score(x, z, mask)
    alone = [tm_score(x[:1], z[:1]), tm_score(x[1:, :30], z[1:, :30])]
    assert together.tolist() == pytest.approx(torch.cat(alone).tolist(), abs=1e-9)
    assert tm_score(x[:0], z[:0]).shape == (0,)


def test_padding_changes_no_score():
    """The windows are those of the chain, 48 residues, whatever it is stacked with."""
    a, b = (3.8 * noise((6, 48, 3), seed).cumsum(1) for seed in (0, 1))
    alone = tm_score(a, b)
    for places in (49, 128, 256):
        x, z = (torch.nn.functional.pad(part, (0, 0, 0, places - 48)) for part in (a, b))
        mask = torch.arange(places).expand(6, -1) < 48
        torch.testing.assert_close(tm_score(x, z, mask), alone)


@pytest.mark.parametrize("length", [3, 4, 7, 50, 128])
def test_windows_cover_the_chain(length):
    found = windows(length)
    assert found.any(0).all()
    assert (found.sum(1) >= min(length, 3)).all()
