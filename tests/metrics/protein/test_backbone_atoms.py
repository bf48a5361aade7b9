import math

import pytest
import torch

from deft.errors import InvalidInput
from deft.metrics.protein import lddt, stacked, torsions
from deft.metrics.protein.backbone_atoms import (
    coefficients,
    extended,
    ideal_cb,
    placed_atom,
    rebuilt,
    restored_bonds,
)
from tests.metrics.protein.folds import bundle, helix, moved, noise, rotation, strand


def dihedral(a, b, c, d):
    return torsions(torch.stack([a, b, c, d])[None])[0].item()


@pytest.mark.parametrize(
    ("chain", "phi", "psi", "within"), [(helix, -62.0, -43.0, 12.0), (strand, -120.0, 130.0, 25.0)]
)
def test_helices_and_strands_have_their_angles(chain, phi, psi, within):
    """Those of Ramachandran's map; the trace knows nothing else of them."""
    n, ca, c, _ = rebuilt(chain(20)[None])[0].unbind(1)
    middle = range(5, 15)
    found_phi = [dihedral(c[i - 1], n[i], ca[i], c[i]) for i in middle]
    found_psi = [dihedral(n[i], ca[i], c[i], n[i + 1]) for i in middle]
    assert found_phi == pytest.approx([phi] * 10, abs=within)
    assert found_psi == pytest.approx([psi] * 10, abs=within)


def test_bonds_and_planes():
    n, ca, c, o = rebuilt(helix(20)[None])[0].unbind(1)
    assert (n - ca).norm(dim=-1)[1:].mean().item() == pytest.approx(1.46, abs=0.08)
    assert (c - ca).norm(dim=-1)[:-1].mean().item() == pytest.approx(1.525, abs=0.08)
    assert (n[1:] - c[:-1]).norm(dim=-1)[1:-1].mean().item() == pytest.approx(1.33, abs=0.1)
    assert (o - c).norm(dim=-1)[1:-1].mean().item() == pytest.approx(1.23, abs=0.1)
    omega = [dihedral(ca[i], c[i], n[i + 1], ca[i + 1]) for i in range(3, 15)]
    assert all(abs(abs(angle) - 180) < 15 for angle in omega)
    # hydrogen bonds of a helix: O of i to N of i + 4
    assert (o[3:12] - n[7:16]).norm(dim=-1).mean().item() == pytest.approx(2.9, abs=0.4)


def test_atoms_move_with_their_trace_and_not_with_its_mirror_image():
    x = bundle()
    turned = rebuilt((x @ rotation(3).T)[None])[0]
    torch.testing.assert_close(turned, rebuilt(x[None])[0] @ rotation(3).T)
    mirror = torch.tensor([1.0, 1.0, -1.0]).double()
    other = rebuilt((x * mirror)[None])[0] * mirror
    assert (other - rebuilt(x[None])[0])[:, 3].norm(dim=-1).mean().item() > 0.3


def test_padding_and_ends():
    x, mask = stacked([bundle(), helix(9)])
    both = rebuilt(x, mask)
    torch.testing.assert_close(both[1, :9], rebuilt(helix(9)[None])[0])
    assert not both[1, 9:].any()
    torch.testing.assert_close(both[:, :, 1], x)
    longer = extended(helix(9)[None])[0]
    torch.testing.assert_close(torsions(longer[None])[0], torch.full((1, 10), 50.0).double())
    with pytest.raises(InvalidInput, match="4 residues or more"):
        rebuilt(helix(20)[None, :3])


def test_the_table_that_ships():
    assert torch.tensor(coefficients()).shape == (54, 9)


def test_an_atom_is_placed_by_its_length_bend_and_torsion():
    one, two, three = moved(torch.tensor([[1.0, 2, 0], [0, 0, 0], [1.5, 0, 0]]).double())
    atom = placed_atom(one, two, three, 1.2, 110.0, -65.0)
    assert (atom - three).norm().item() == pytest.approx(1.2)
    cosine = torch.nn.functional.cosine_similarity(two - three, atom - three, dim=0)
    assert math.degrees(math.acos(cosine.item())) == pytest.approx(110.0)
    assert dihedral(one, two, three, atom) == pytest.approx(-65.0)


def test_cb_makes_an_l_amino_acid():
    n, ca, c = torch.tensor([[1.46, 0.0, 0.0], [0.0, 0.0, 0.0], [-0.55, 1.42, 0.0]]).double()
    cb = ideal_cb(torch.stack([n, ca, c])[None])[0]
    assert (cb - ca).norm().item() == pytest.approx(1.522)
    # seen with H towards the eye, CO, R and N stand clockwise: CORN
    assert torch.dot(torch.linalg.cross(n - ca, c - ca), cb - ca).item() > 0
    assert dihedral(c, n, ca, cb) == pytest.approx(-122.79, abs=0.01)


def test_bonds_of_a_noisy_random_walk_are_restored():
    """Of 64 such chains of 60 residues, 4 do not get there along the bonds that they had."""
    steps = torch.nn.functional.normalize(noise((64, 60, 3)), dim=-1)
    x = (3.8 * steps.cumsum(1) + noise((64, 60, 3), 1))[[0, 29, 49, 50, 56]]
    found = restored_bonds(x)
    bonds = (found[:, 1:] - found[:, :-1]).norm(dim=-1)
    torch.testing.assert_close(bonds, torch.full_like(bonds, 3.8), atol=1e-6, rtol=0)
    assert (found - x).norm(dim=-1).mean(1).max().item() < 1.1
    torch.testing.assert_close(restored_bonds(x[1:2])[0], found[1])
    x[1, 7] = x[1, 8]  # no direction to move them apart
    again = restored_bonds(x)
    assert again.isfinite().all()
    torch.testing.assert_close(again[[0, 2, 3, 4]], found[[0, 2, 3, 4]])


def test_restored_bonds_are_of_one_length_and_near():
    clean = bundle()[None]
    x, mask = stacked([clean[0] + 0.3 * noise((55, 3)), helix(20) + 1.0 * noise((20, 3), 1)])
    found = restored_bonds(x, mask)
    length = (found[:, 1:] - found[:, :-1]).norm(dim=-1)
    assert length[mask[:, 1:]].tolist() == pytest.approx([3.8] * (54 + 19), abs=1e-5)
    assert not found[1, 20:].any()
    assert (found - x)[0].norm(dim=-1).mean().item() < 0.3
    torch.testing.assert_close(restored_bonds(clean), clean)
    torch.testing.assert_close(found.mean(1) * 55, x.mean(1) * 55, atol=1e-6, rtol=0)
    assert lddt(found[:1], clean).item() >= lddt(x[:1], clean).item()
