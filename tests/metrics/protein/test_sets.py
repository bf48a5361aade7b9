import pytest
import torch

from deft.errors import InvalidInput
from deft.metrics.protein import (
    clusters,
    diversity,
    nearest_tm_score,
    pairwise_tm_score,
    stacked,
    tm_score,
)
from tests.metrics.protein.folds import bundle, chain, helix, moved, noise, strand


def random_fold(seed, residues=50):
    """A chain of helices, strands and turns in random order."""
    generator = torch.Generator().manual_seed(seed)
    angles = []
    while len(angles) < residues - 3:
        kind = int(torch.randint(3, (1,), generator=generator))
        run = int(torch.randint(4, 10, (1,), generator=generator))
        bend, torsion = [(91.0, 50.0), (124.0, -170.0), (110.0, -60.0 + 20 * run)][kind]
        angles += [(bend, torsion)] * run
    return chain(angles[: residues - 3])


def test_single_linkage_chains_what_is_linked():
    similarity = torch.tensor(
        [[1.0, 0.7, 0.1, 0.1], [0.7, 1.0, 0.65, 0.1], [0.1, 0.65, 1.0, 0.2], [0.1, 0.1, 0.2, 1.0]]
    )
    assert clusters(similarity).tolist() == [0, 0, 0, 1]
    assert clusters(similarity, 0.68).tolist() == [0, 0, 1, 2]
    assert clusters(similarity, 1.1).tolist() == [0, 1, 2, 3]
    line = torch.eye(30) + torch.diag(torch.ones(29), 1)
    assert clusters(line).tolist() == [0] * 30
    assert clusters(torch.zeros(0, 0)).tolist() == []


def test_diversity_counts_folds():
    folds = [bundle(), helix(55), strand(55)]
    same = [moved(fold, seed) + 0.1 * noise(fold.shape, seed) for fold in folds for seed in (1, 2)]
    assert diversity(torch.stack(same)) == pytest.approx(3 / 6)
    assert diversity(torch.stack(same[:2])) == 0.5
    assert diversity(torch.stack(folds)) == 1.0


def test_pairs_of_different_lengths():
    x, mask = stacked([bundle(), bundle()[:50], helix(30)])
    table = pairwise_tm_score(x, mask)
    torch.testing.assert_close(table, table.T)
    assert table.diagonal().tolist() == [1.0] * 3
    assert table[0, 1].item() == pytest.approx(50 / 55, abs=0.02)
    same = torch.stack([bundle(), bundle() + noise((55, 3))])
    expected = tm_score(same[:1], same[1:])
    assert pairwise_tm_score(same)[0, 1].item() == pytest.approx(expected.item())


def test_a_copy_in_the_training_set_is_found():
    training, mask = stacked([random_fold(seed, 40 + seed) for seed in range(60)])
    copies = [moved(training[i, : 40 + i]) + 0.3 * noise((40 + i, 3), i) for i in (3, 31, 59)]
    part = moved(training[50, 20:70])
    x, x_mask = stacked([*copies, part, bundle()])
    score, which = nearest_tm_score(x, x_mask, training, mask, keep=3)
    assert which.tolist()[:4] == [3, 31, 59, 50]
    assert (score[:4] > 0.9).all()
    assert score[4].item() < 0.8


def test_more_candidates_never_lower_the_score():
    training, mask = stacked([random_fold(seed) for seed in range(12)])
    x = torch.stack([random_fold(seed) for seed in range(20, 23)])
    few, _ = nearest_tm_score(x, None, training, mask, keep=2)
    every, _ = nearest_tm_score(x, None, training, mask, keep=50)
    assert (every >= few - 1e-9).all()
    with pytest.raises(InvalidInput, match="keep"):
        nearest_tm_score(x, None, training, mask, keep=0)
