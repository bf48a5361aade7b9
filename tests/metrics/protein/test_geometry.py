import math

import pytest
import torch

from deft.errors import InvalidInput
from deft.metrics.protein import (
    bends,
    bends_in_range,
    bond_lengths,
    bond_spread,
    bonds,
    cis_bonds,
    clashes,
    compact_radius,
    junctions,
    motif_clashes,
    radius_of_gyration,
    radius_ratio,
    stacked,
    torsions,
)
from tests.metrics.protein.folds import HELIX, chain, helix, moved, strand


def line(*places):
    """Residues on the x axis."""
    return torch.tensor([[place, 0.0, 0.0] for place in places]).double()[None]


def test_bonds_of_a_line():
    x = line(0.0, 3.8, 7.5, 10.45, 15.45)  # 3.8, 3.7, 2.95 (cis), 5
    assert bond_lengths(x)[0][0].tolist() == pytest.approx([3.8, 3.7, 2.95, 5.0])
    assert bonds(x).item() == 0.5
    assert bonds(x, tolerance=1.3).item() == 1.0
    assert cis_bonds(x).item() == 0.25
    assert bond_spread(x).item() == pytest.approx(math.sqrt((0.1**2 + 1.2**2) / 3))


def test_bends_and_torsions_are_those_that_a_chain_was_built_from():
    angles = [(91.0, 50.0), (120.0, -170.0), (100.0, 0.0), (150.0, 179.0), (80.0, -60.0)]
    x = moved(chain(angles))[None]
    assert torsions(x)[0][0].tolist() == pytest.approx([torsion for _, torsion in angles])
    assert bends(x)[0][0].tolist() == pytest.approx([91.0] + [bend for bend, _ in angles])
    mirrored = x * torch.tensor([-1.0, 1.0, 1.0])
    assert torsions(mirrored)[0][0].tolist() == pytest.approx([-torsion for _, torsion in angles])


def test_a_bend_beyond_77_to_175_degrees_is_out_of_range():
    for bend, inside in ((70.0, False), (77.0, True), (120.0, True), (174.0, True)):
        assert bends_in_range(chain([(bend, 50.0)])[None]).item() == float(inside)
    assert bends_in_range(line(0.0, 3.8, 7.6)).item() == 1.0  # 180 degrees and 7.6


def test_clashes_are_counted_by_residue_and_not_between_neighbours():
    folded = torch.tensor(
        [[0, 0, 0], [3.8, 0, 0], [3.8, 3.8, 0], [0, 3.8, 0], [0, 3.0, 3.4], [0, 0, 3.4]]
    ).double()[None]
    # residues 0 and 5 are 3.4 apart; 3 and 5 are two apart along the chain, 0 and 3 at 3.8
    assert clashes(folded).item() == pytest.approx(2 / 6)
    assert clashes(helix(30)[None]).item() == 0.0


def test_the_radius_of_gyration_of_a_ring_and_of_a_line():
    angle = torch.arange(12).double() * math.pi / 6
    ring = 5 * torch.stack([angle.cos(), angle.sin(), 0 * angle], -1)
    x, mask = stacked([ring, line(-1.0, 1.0)[0]])
    assert radius_of_gyration(x, mask).tolist() == pytest.approx([5.0, 1.0])
    assert compact_radius(torch.tensor([1])).item() == pytest.approx(2.2)


def test_radii_are_compared_with_natives_of_the_same_length():
    natives = torch.arange(50, 150)
    radii = compact_radius(natives)
    x, mask = stacked([helix(60), helix(120)])
    own = radius_of_gyration(x, mask)
    expected = own / compact_radius(torch.tensor([60, 120]))
    assert radius_ratio(x, mask, natives, radii).tolist() == pytest.approx(
        expected.tolist(), rel=0.01
    )
    # none is near 20 residues: the 20 shortest are taken
    short = helix(20)[None]
    middle = radii[:20].median()
    found = radius_ratio(short, None, natives, radii)
    assert found.item() == pytest.approx((radius_of_gyration(short) / middle).item())
    with pytest.raises(InvalidInput, match="at least 20"):
        radius_ratio(short, None, natives[:19], radii[:19])


def test_junctions_are_where_a_motif_meets_its_scaffold():
    x = chain([HELIX] * 9)[None].repeat(3, 1, 1)  # 12 residues
    part = torch.full((3, 12), -1)
    part[:2, 4:8] = 0
    x[1, 4:8] += torch.tensor([0.0, 0.0, 20.0])  # far from its neighbours
    bond, bend = junctions(x, part)
    assert bond.tolist()[:2] == [1.0, 0.0]
    assert bend.tolist()[:2] == [1.0, 0.0]
    assert bond[2].isnan()  # no motif
    assert bend[2].isnan()


def test_only_bonds_of_junctions_count():
    x = line(0.0, 3.8, 7.6, 12.6, 16.4)
    part = torch.tensor([[-1, -1, 0, 0, 1]])
    assert junctions(x, part)[0].item() == 1.0  # the bond of 5 lies within the motif
    assert junctions(x, torch.tensor([[-1, -1, -1, 0, 0]]))[0].item() == 0.0
    assert junctions(x, part, tolerance=1e-5)[0].item() == 1.0


def test_truth_values_are_no_groups():
    with pytest.raises(InvalidInput, match="-1 for the scaffold"):
        junctions(helix(8)[None], torch.zeros(1, 8, dtype=torch.bool))


def test_a_motif_clashes_with_its_scaffold_alone():
    x, away = strand(12)[None].clone(), torch.arange(12)
    motif = (away >= 6)[None]
    assert motif_clashes(x, motif).item() == 0.0
    x[0, 9] = x[0, 2] + 0.5  # motif and scaffold
    assert motif_clashes(x, motif).item() >= 1 / 6
    x[0, 9] = x[0, 6] + torch.tensor([2.0, 0.0, 0.0])  # motif and motif
    assert motif_clashes(x, motif).item() == 0.0
