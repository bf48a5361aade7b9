import math

import pytest
import torch

from deft.metrics.protein import handedness, secondary_structure, stacked
from tests.metrics.protein.folds import bundle, chain, helix, moved, noise, strand

MIRROR = torch.tensor([1.0, 1.0, -1.0]).double()


def test_the_ideal_helix_of_1_5_angstrom_and_100_degrees_a_residue():
    turn = torch.arange(20).double() * math.radians(100)
    x = torch.stack([2.3 * turn.cos(), 2.3 * turn.sin(), 1.5 * torch.arange(20).double()], -1)
    found = secondary_structure(moved(x)[None])
    assert found.helix[0].tolist() == [False] + [True] * 17 + [False] * 2
    assert found.strand_share.item() == found.left_handed_share.item() == 0
    assert handedness(found) == math.inf


def test_a_mirrored_helix_is_left_handed():
    x = torch.stack([bundle(), bundle() * MIRROR])
    found = secondary_structure(x)
    assert found.helix_share[0].item() == found.left_handed_share[1].item() > 0.6
    assert found.helix_share[1].item() == found.left_handed_share[0].item() == 0
    assert handedness(found) == 1.0
    assert handedness(secondary_structure(x[1:])) == 0.0


def test_an_ideal_strand():
    found = secondary_structure(moved(strand(20))[None])
    assert found.strand[0].tolist() == [False] + [True] * 17 + [False] * 2
    assert not found.helix.any()
    assert math.isnan(handedness(found))


def test_four_turns_in_a_row_are_no_helix_and_three_extended_residues_need_a_partner():
    coil = [(110.0, -60.0), (140.0, 110.0)]
    four = chain([*coil, *[(91.0, 50.0)] * 4, *coil])
    assert not secondary_structure(four[None]).helix.any()
    lone = chain([*coil, *[(124.0, -170.0)] * 4, *coil, *coil])
    assert not secondary_structure(lone[None]).strand.any()
    beside = torch.tensor([0.0, 0.0, 4.8]).double()  # from each residue to one of a neighbour
    apart = chain([(150.0, 90.0)] * 6) + torch.tensor([300.0, 0.0, 0.0])
    far = torch.cat([lone, apart, lone + 3 * beside])
    assert not secondary_structure(far[None]).strand[0, : len(lone)].any()
    near = torch.cat([lone, apart, lone + beside])
    assert secondary_structure(near[None]).strand[0, : len(lone)].any()


def test_padding_and_chains_that_are_too_short():
    x, mask = stacked([helix(20), strand(8), helix(4)])
    found = secondary_structure(x, mask)
    assert found.helix[0].sum() == 17
    assert found.strand[1].sum() == 5
    assert not (found.helix | found.strand | found.left_handed)[2].any()
    assert not (found.helix | found.strand | found.left_handed)[~mask].any()
    assert not secondary_structure(helix(4)[None]).helix.any()


def test_each_chain_is_seen_alone():
    x = torch.stack([bundle() + 0.3 * noise((55, 3), seed) for seed in range(3)])
    together = secondary_structure(x)
    for i in range(3):
        alone = secondary_structure(x[i : i + 1])
        assert torch.equal(alone.helix[0], together.helix[i])
        assert torch.equal(alone.strand[0], together.strand[i])


def test_a_random_walk_has_little_structure():
    steps = noise((40, 60, 3))
    walk = (3.8 * steps / steps.norm(dim=-1, keepdim=True)).cumsum(1)
    found = secondary_structure(walk)
    assert (found.helix_share + found.left_handed_share).mean().item() < 0.02
    assert found.strand_share.mean().item() < 0.05
    assert handedness(found) == pytest.approx(1, abs=1) or math.isnan(handedness(found))
