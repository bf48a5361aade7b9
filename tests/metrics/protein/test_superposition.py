import pytest
import torch

from deft.errors import InvalidInput
from deft.geometry import superposed
from deft.metrics.protein import lddt, motif_rmsd, rmsd, stacked
from deft.metrics.protein.superposition import largest_group
from tests.metrics.protein.folds import bundle, helix, moved, noise


def test_a_rigid_motion_is_found():
    x = bundle()
    fixed = torch.stack([moved(x, seed) for seed in range(4)])
    moving = x.expand(4, -1, -1)
    weights = torch.rand(4, len(x), generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(superposed(moving, fixed, weights), fixed)
    assert rmsd(moving, fixed).max().item() < 1e-6


def test_a_mirror_image_is_not_reached_by_rotating():
    x = torch.stack([bundle(), torch.randn(55, 3).double()])
    assert (rmsd(x, -x) > 1).all()
    flat = x * torch.tensor([1.0, 1.0, 0.0]).double()  # a plane is its own mirror image
    assert rmsd(flat, flat * torch.tensor([-1.0, 1.0, 1.0]).double()).max().item() < 1e-6


def test_the_rmsd_of_two_points_and_of_a_square():
    two = torch.tensor([[[0.0, 0, 0], [2.0, 0, 0]]])
    far = torch.tensor([[[0.0, 0, 0], [0.0, 6.0, 0]]])
    assert rmsd(two, far).item() == pytest.approx(2.0)  # both are 2 away from where they fit
    square = torch.tensor([[[1.0, 1, 0], [1, -1, 0], [-1, -1, 0], [-1, 1, 0]]])
    assert rmsd(square, 2 * square).item() == pytest.approx(2**0.5)


def test_noise_of_unit_variance():
    # 6 of the 3 n degrees of freedom are fitted away
    x = bundle().repeat(50, 1, 1)
    found = rmsd(x + noise(x.shape), x).square().mean().item()
    assert found == pytest.approx(3 - 6 / 55, rel=0.05)


def test_weights_choose_the_residues():
    x = bundle()
    bent = torch.cat([x[:30], moved(x[30:])])
    weights = (torch.arange(len(x)) < 30).double()
    fitted = superposed(moved(bent, 1), x, weights)
    torch.testing.assert_close(fitted[:30], x[:30])
    assert not torch.allclose(fitted[30:], x[30:], atol=1.0)


def test_padding_is_not_compared():
    x, mask = stacked([helix(9), helix(6)])
    z = x.clone()
    z[1, 6:] = 50.0
    assert rmsd(x, z, mask).max().item() < 1e-6
    assert lddt(x, z, mask).tolist() == pytest.approx([1.0, 1.0])


def test_each_group_of_a_motif_is_superposed_by_itself():
    x = bundle()[None].repeat(2, 1, 1)
    index = torch.tensor([5, 6, 7, 8, 30, 31, 32, 33])
    group = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    motif = x[0, index].clone()
    motif[:4], motif[4:] = moved(motif[:4], 1), moved(motif[4:], 2)
    assert motif_rmsd(x, index, group, motif).max().item() < 1e-6
    one = motif_rmsd(x, index, torch.zeros_like(group), motif)
    assert one.shape == (2, 1)
    assert (one > 1).all()
    wrong = motif.clone()
    wrong[0] += torch.tensor([3.0, 0.0, 0.0])
    found = motif_rmsd(x, index, group, wrong)
    assert (found[:, 0] > 0.5).all()
    assert (found[:, 1] < 1e-6).all()


def test_motifs_of_different_sizes_in_one_batch():
    x = bundle()[None].repeat(2, 1, 1)
    index = torch.tensor([[5, 6, 7, 8, 9], [1, 2, 3, -1, -1]])
    group = torch.tensor([[0, 0, 0, 1, 1], [0, 0, 0, 0, 0]])
    motif = x.gather(1, index.clamp(min=0)[..., None].expand(-1, -1, 3)).clone()
    motif[1, 3:] = torch.nan
    found = motif_rmsd(x, index, group, motif)
    assert found[1, 1].isnan()
    assert found[~found.isnan()].max().item() < 1e-6


def test_a_group_of_one_residue_has_no_rmsd():
    x = bundle()[None].repeat(2, 1, 1)
    index = torch.tensor([[5, 6, 9], [5, -1, 9]])
    group = torch.tensor([0, 0, 1])
    motif = torch.tensor([[0.0, 0, 0], [5.8, 0, 0], [9.0, 9, 9]])
    found = motif_rmsd(x, index, group, motif)
    # a bond of 3.8 that should be 5.8: each end is 1 away
    assert found.flatten().tolist() == pytest.approx([1.0, *[torch.nan] * 3], nan_ok=True)
    assert largest_group(found).tolist() == pytest.approx([1.0, torch.nan], nan_ok=True)
    assert largest_group(found[:, :0]).isnan().all()
    assert largest_group(torch.tensor([[0.5, 2.0, torch.nan]])).item() == 2.0


def test_residues_that_a_chain_does_not_have():
    with pytest.raises(InvalidInput, match="residues 0 to 54"):
        motif_rmsd(bundle()[None], torch.tensor([55]), torch.tensor([0]), torch.zeros(1, 3))
    with pytest.raises(InvalidInput, match="motif"):
        motif_rmsd(bundle()[None], torch.tensor([5]), torch.tensor([0]), torch.zeros(2, 3))
    with pytest.raises(InvalidInput, match="the same shape"):
        rmsd(bundle()[None], helix(9)[None])


def test_lddt_by_hand():
    # three residues on a line; the last one moves by 1.5: its two distances change by 1.5
    z = torch.tensor([[[0.0, 0, 0], [4.0, 0, 0], [8.0, 0, 0]]]).double()
    x = z.clone()
    x[0, 2, 0] += 1.5
    # residues 0 and 1 keep one distance of two wholly; 1.5 lies within 2 and 4: half
    assert lddt(x, z).item() == pytest.approx((0.75 + 0.75 + 0.5) / 3)
    assert lddt(moved(z[0])[None], z).item() == 1.0
    z[0, 2, 0] = 30.0  # beyond 15: one pair is left, and the last residue has no neighbour
    assert lddt(x, z).item() == 1.0


def test_lddt_sees_no_handedness():
    x = bundle()[None]
    assert lddt(-x, x).item() == pytest.approx(1.0)
