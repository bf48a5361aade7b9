import pytest
import torch

from deft.metrics.protein import aligned_tm_score, stacked, tm_score
from deft.metrics.protein.alignment import best_alignment
from tests.metrics.protein.folds import bundle, helix, moved, noise, strand


def every_alignment(score):
    """The greatest sum over all alignments of a small table, by trying all of them."""
    rows, columns = score.shape
    best = 0.0

    def extend(i, j, total):
        nonlocal best
        best = max(best, total)
        for k in range(i + 1, rows):
            for m in range(j + 1, columns):
                jump = 0.0 if i < 0 or (k, m) == (i + 1, j + 1) else 0.6
                extend(k, m, total - jump + score[k, m].item())

    extend(-1, -1, 0.0)
    return best


def summed(score, partner):
    total, last = 0.0, None
    for i, j in enumerate(partner.tolist()):
        if j >= 0:
            jump = 0.0 if last is None or last == (i - 1, j - 1) else 0.6
            total, last = total + score[i, j].item() - jump, (i, j)
    return total


@pytest.mark.parametrize("shape", [(4, 5), (5, 4), (1, 3)])
def test_the_alignment_is_the_best_of_all(shape):
    scores = torch.rand(6, *shape, generator=torch.Generator().manual_seed(0)).double()
    found = best_alignment(scores)
    for score, partner in zip(scores, found):
        assert summed(score, partner) == pytest.approx(every_alignment(score))


def test_a_part_of_a_chain_is_found_in_it():
    whole = bundle(20)
    x, x_mask = stacked([moved(whole[10:50]), whole])
    z, z_mask = stacked([whole, moved(whole[10:50])])
    found = aligned_tm_score(x, z, x_mask, z_mask)
    assert found[0].item() == pytest.approx(1.0, abs=1e-6)
    assert found[1].item() == pytest.approx(40 / 70, abs=0.05)  # per residue of the whole


def test_a_missing_loop_costs_its_residues_alone():
    whole = bundle(20)
    cut = torch.cat([whole[:21], whole[25:]])
    found = aligned_tm_score(cut[None], whole[None]).item()
    assert found > 0.97
    assert aligned_tm_score(whole[None], cut[None]).item() == pytest.approx(66 / 70, abs=0.03)


def test_equal_lengths_score_at_least_nearly_what_no_alignment_does():
    x = bundle().repeat(3, 1, 1)
    z = x + torch.tensor([0.5, 1.0, 2.0])[:, None, None] * noise(x.shape)
    assert (aligned_tm_score(x, z) > tm_score(x, z) - 0.02).all()


def test_unlike_chains_and_mirror_images_score_low():
    x, z = bundle()[None], strand(40)[None]
    assert aligned_tm_score(x, z).item() < 0.35
    assert aligned_tm_score(x, -x).item() < 0.6
    assert aligned_tm_score(x[:0], z[:0]).shape == (0,)
    assert aligned_tm_score(helix(4)[None], x).item() > 0.9
