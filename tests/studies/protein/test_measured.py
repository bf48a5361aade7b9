import math

import pytest
import torch

from deft.errors import InvalidInput
from deft.metrics.protein import lddt, stacked
from deft.metrics.protein.frame2seq import Frame2seq, Member, Shape
from deft.metrics.protein.gcndesign import GCNdesign
from deft.metrics.protein.judge import ProteinJudge
from deft.studies.protein import MEASURES, Natives, PlacedMotif, evaluate_backbones, noisy
from deft.studies.protein.measured import leaving_out
from tests.metrics.protein.folds import bundle, helix, moved, strand

MIRROR = torch.tensor([1.0, 1.0, -1.0]).double()


def natives(count=24):
    """Helices of different lengths."""
    return Natives(*stacked([helix(30 + i) for i in range(count)]))


def test_a_row_of_ideal_helices():
    x, mask = stacked([moved(helix(30 + i), i) for i in range(6)])
    found = evaluate_backbones("helices", x, mask, natives=natives(), training=natives()).row()
    values = {key: value.value for key, value in found.values.items()}
    assert values["bonds"] == values["bends"] == values["coverage"] == 1.0
    assert values["clashes"] == values["strand"] == values["left_handed"] == 0.0
    assert values["helix"] > 0.85
    assert values["handedness"] == math.inf
    assert values["nearest"] == pytest.approx(1.0)
    assert values["radius_ratio"] == pytest.approx(1.0, abs=0.25)  # of natives up to 46 residues
    assert found.count == 6
    assert "entropy" not in values


def test_measures_that_are_no_means():
    designs = torch.stack([bundle(), moved(bundle(), 1), bundle() * MIRROR, strand(55)])
    found = evaluate_backbones("designs", designs).row()
    assert found.values["handedness"].value == pytest.approx(2.0)
    assert found.values["diversity"].value == 3 / 4
    assert found.values["helix"].count == 4
    left = evaluate_backbones("designs", designs, pairs=False).row()
    assert "diversity" not in left.values


def test_the_jackknife_of_a_mean_is_the_usual_error():
    values = [1.0, 2.0, 4.0, 8.0]
    found = leaving_out(lambda kept: sum(values[i] for i in kept) / len(kept), 4)
    spread = torch.tensor(values).std().item() / 2
    assert found.value == 3.75
    assert found.standard_error == pytest.approx(spread)
    assert math.isnan(leaving_out(lambda kept: 1.0, 1).standard_error)


def test_a_motif_that_is_held_and_one_that_is_broken_off():
    x = helix(40)[None].repeat(2, 1, 1)
    index = torch.arange(10, 20)[None]
    motif = PlacedMotif(index, torch.zeros_like(index), moved(x[0, 10:20])[None])
    x[1, 10:20] += torch.tensor([0.0, 0.0, 9.0])
    measured = evaluate_backbones("motif", x, motif=motif, pairs=False)
    values = measured.values
    assert values["motif_rmsd"].max().item() < 1e-3
    assert values["motif_held"].tolist() == [1.0, 1.0]
    assert values["junction_bonds"].tolist() == [1.0, 0.0]
    assert measured.junctions_off[0].item() == pytest.approx(0.0, abs=1e-9)
    assert measured.junctions_off[1].item() > 3
    assert measured.row().values["junction_bonds"].value == 0.5


def test_a_motif_of_single_residues_is_neither_held_nor_lost():
    x = helix(40)[None].repeat(2, 1, 1)
    index, group = torch.tensor([[5, 30], [5, 6]]), torch.tensor([[0, 1], [0, 0]])
    motif = PlacedMotif(index, group, x[:, [5, 6]])
    values = evaluate_backbones("single", x, motif=motif, pairs=False).values
    assert values["motif_held"].tolist() == pytest.approx([math.nan, 1.0], nan_ok=True)
    assert values["motif_rmsd"].isnan().tolist() == [True, False]


def test_motifs_of_different_sizes():
    index = torch.tensor([[3, 4, 5, 9], [3, 4, -1, -1]])
    group = torch.tensor([[0, 0, 0, 1], [0, 0, 0, 0]])
    part = PlacedMotif(index, group, torch.zeros(2, 4, 3)).part(2, 12)
    assert part[0].tolist() == [-1, -1, -1, 0, 0, 0, -1, -1, -1, 1, -1, -1]
    assert part[1].tolist() == [-1, -1, -1, 0, 0] + [-1] * 7


def test_the_judge_stands_in_the_row():
    torch.manual_seed(0)
    judge = ProteinJudge(Frame2seq({0: Member(Shape(1, 2, 16, 2))}).eval(), GCNdesign().eval())
    found = evaluate_backbones("judged", helix(25)[None], judge=judge, pairs=False).row()
    assert 0 < found.values["entropy"].value < math.log(20)
    assert found.judge == judge.name
    card = found.card()
    assert card["judge"] == judge.name
    assert list(card["measures"]) == [m.key for m in MEASURES if m.key in found.values]
    assert card["measures"]["handedness"]["value"] is None  # infinite


def test_noisy_natives_have_whole_bonds_and_their_own_noise():
    first = natives(3)
    found = noisy(first, 1.0, seed=5)
    length = (found.x[:, 1:] - found.x[:, :-1]).norm(dim=-1)
    assert length[found.mask[:, 1:]].tolist() == pytest.approx([3.8] * (29 + 30 + 31), abs=1e-4)
    again = noisy(Natives(first.x[1:2], first.mask[1:2]), 1.0, seed=6)
    torch.testing.assert_close(again.x[0], found.x[1])
    assert lddt(found.x, first.x, first.mask).max().item() < 0.9


def test_none_is_no_set():
    with pytest.raises(InvalidInput, match="designs"):
        evaluate_backbones("none", torch.zeros(0, 5, 3))
