"""The learned judge; what needs its weights is left out where they are not installed
(`pip install --no-deps frame2seq==0.0.8 gcndesign==2.3.2`).
"""

import json
import math
import sys
from pathlib import Path

import pytest
import torch

from deft.errors import CheckpointError, InvalidInput
from deft.metrics.protein import stacked, wheels
from deft.metrics.protein.backbone_atoms import rebuilt
from deft.metrics.protein.frame2seq import Frame2seq, Member, Shape, load_frame2seq
from deft.metrics.protein.gcndesign import GCNdesign, graph, load_gcndesign, six_atoms
from deft.metrics.protein.judge import (
    ProteinJudge,
    judge_installed,
    load_protein_judge,
    with_motif,
)
from tests.metrics.protein.folds import bundle, helix, moved, noise, rotation

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "protein_judge.json").read_text())
needs_weights = pytest.mark.skipif(not judge_installed(), reason=f"needs `{wheels.INSTALL}`")


def golden(name, part):
    return torch.tensor(GOLDEN["structures"][name][part], dtype=torch.double)


@pytest.fixture(scope="module")
def judge():
    return load_protein_judge()


@pytest.fixture(scope="module")
def untrained():
    """The same networks, small and with random weights."""
    torch.manual_seed(0)
    members = {0: Member(Shape(1, 2, 16, 2)), 2: Member(Shape(4, 2, 16, 2))}
    return ProteinJudge(Frame2seq(members).eval(), GCNdesign().eval())


@needs_weights
@pytest.mark.parametrize("name", GOLDEN["structures"])
def test_both_are_the_published_networks(judge, name):
    backbone = golden(name, "backbone")
    published = golden(name, "frame2seq")
    with torch.no_grad():
        for member, logits in zip(judge.frame2seq.members, published):
            torch.testing.assert_close(member(backbone).double(), logits, atol=1e-4, rtol=0)
    expected = torch.log_softmax(golden(name, "gcndesign"), -1)
    torch.testing.assert_close(judge.gcndesign(backbone), expected, atol=1e-4, rtol=0)


@needs_weights
def test_nothing_of_the_packages_is_imported(judge):
    assert not {"frame2seq", "gcndesign"} & set(sys.modules)
    assert judge.name == "Frame2seq 0.0.8 (member 1, 2, 3), GCNdesign 2.3.2"
    count = sum(p.numel() for p in judge.frame2seq.parameters()) / 1e6
    assert count == pytest.approx(3.08 + 10.05 + 10.05, abs=0.02)


@needs_weights
def test_noise_raises_both_numbers(judge):
    x = torch.stack([helix(37), helix(37) + noise((37, 3))])
    found = judge.judge(x)
    assert found.entropy[0] < found.entropy[1]
    assert found.cross_likelihood[0] < found.cross_likelihood[1]
    assert [len(sequence) for sequence in found.sequences] == [37, 37]


@needs_weights
def test_members_are_chosen_by_number():
    one = load_frame2seq((1,))
    assert one.numbers == (1,)
    logits = golden("bundle", "frame2seq")[1][:, :20]
    found = one(golden("bundle", "backbone"))
    torch.testing.assert_close(found, torch.log_softmax(logits, -1), atol=1e-4, rtol=0)


def test_the_two_numbers_by_hand(untrained):
    x, mask = stacked([bundle(9), helix(25)])
    found = untrained.judge(x, mask)
    backbone = rebuilt(helix(25)[None])[0]
    log_p, log_q = untrained.frame2seq(backbone), untrained.gcndesign(backbone)
    assert log_p.exp().sum(1).tolist() == pytest.approx([1.0] * 25)
    entropy = -sum(p * math.log(p) for p in log_p.exp().flatten().tolist()) / 25
    assert found.entropy[1].item() == pytest.approx(entropy, abs=1e-4)
    cross = -sum(log_q[i, a].item() for i, a in enumerate(log_p.argmax(1).tolist())) / 25
    assert found.cross_likelihood[1].item() == pytest.approx(cross, abs=1e-4)
    assert untrained.name.startswith("Frame2seq 0.0.8 (member 1, 3)")


def test_rigid_motions_do_not_matter_and_mirror_images_do(untrained):
    backbone = golden("bundle", "backbone")
    turned = backbone @ rotation(1).T + 3.0
    mirrored = backbone * torch.tensor([1.0, 1.0, -1.0]).double()
    for network in (untrained.frame2seq, untrained.gcndesign):
        torch.testing.assert_close(network(turned), network(backbone), atol=1e-3, rtol=0)
        assert (network(mirrored) - network(backbone)).abs().max().item() > 1e-2


def test_each_residue_looks_at_the_twenty_nearest():
    backbone = golden("bundle", "backbone")
    nodes, edges, neighbours = graph(backbone)
    cb = six_atoms(backbone)[:, 4]
    distance = (cb[:, None] - cb[None]).norm(dim=-1)
    for i in (0, 17, 36):
        nearest = distance[i].argsort()[1:21]
        assert sorted((neighbours[i + 1] - 1).tolist()) == sorted(nearest.tolist())
    assert neighbours[0].tolist() == neighbours[-1].tolist() == list(range(20))
    assert not nodes[[0, -1]].any()
    assert not edges[[0, -1]].any()
    ca = (backbone[10, 1] - backbone[neighbours[11] - 1, 1]).norm(dim=-1)
    torch.testing.assert_close(edges[11, :, 7] * 2.4 + 6.4, ca)  # CA to CA
    assert nodes[1, :2].tolist() == [0, 0]  # no phi
    assert nodes[-2, 2:].tolist() == [0, 0, 0, 0]  # no psi and omega


def test_a_break_in_the_chain_silences_edges():
    backbone = golden("bundle", "backbone").clone()
    backbone[20:] += 5.0
    edges = graph(backbone)[1]
    assert not edges[[20, 21]].any()  # residues 19 and 20
    assert edges[19].any()
    assert edges[22].any()


def test_chains_that_are_too_short_for_twenty_neighbours(untrained):
    with pytest.raises(InvalidInput, match="22 residues or more"):
        untrained.judge(helix(21)[None])


def test_the_motif_keeps_its_own_atoms(untrained):
    x = bundle(9)[None]
    native = rebuilt(x)[0]
    index, group = torch.tensor([3, 4, 5, 6, 20, 21, 22]), torch.tensor([0] * 4 + [1] * 3)
    motif = native[index, :3].clone()
    motif[:, 0] += torch.tensor([0.2, 0.0, 0.0])  # atoms that no trace tells
    motif[:4], motif[4:] = moved(motif[:4], 1), moved(motif[4:], 2)
    whole = with_motif(native, index, group, motif)
    inner = torch.cdist(whole[3:7, :3].flatten(0, 1), whole[3:7, :3].flatten(0, 1))
    own = torch.cdist(motif[:4].flatten(0, 1), motif[:4].flatten(0, 1))
    torch.testing.assert_close(inner, own)
    assert (whole - native)[index, 1].norm(dim=-1).max().item() < 0.02
    outside = torch.ones(37, dtype=torch.bool)
    outside[index] = False
    assert torch.equal(whole[outside], native[outside])

    found = untrained.compatibility(x, index, group, motif, "ACDXFGH", restore=False)
    log_p = untrained.frame2seq(whole)
    labels = [0, 1, 2, 4, 5, 6]
    places = [3, 4, 5, 20, 21, 22]
    expected = -sum(log_p[i, a].item() for i, a in zip(places, labels)) / 6
    assert found.nll.item() == pytest.approx(expected, abs=1e-4)
    with pytest.raises(InvalidInput, match="as many of each"):
        untrained.compatibility(x, index, group, motif, "ACD")


def test_a_motif_of_one_residue_keeps_its_orientation():
    native = rebuilt(bundle(9)[None])[0]
    one = moved(native[10:11, :3], 5)
    whole = with_motif(native, torch.tensor([10]), torch.tensor([0]), one)
    torch.testing.assert_close(whole[10, :3], native[10, :3], atol=1e-6, rtol=0)


def test_without_the_packages(monkeypatch):
    monkeypatch.setattr(wheels, "find_spec", lambda name: None)
    assert not judge_installed()
    for load in (load_frame2seq, load_gcndesign):
        with pytest.raises(InvalidInput, match=r"pip install --no-deps frame2seq==0\.0\.8"):
            load()


def test_files_of_another_version(monkeypatch, tmp_path):
    class Found:
        origin = str(tmp_path / "__init__.py")

    monkeypatch.setattr(wheels, "find_spec", lambda name: Found)
    with pytest.raises(CheckpointError, match="is missing"):
        load_gcndesign()
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "param_default.pkl").write_bytes(b"something else")
    with pytest.raises(CheckpointError, match="SHA-256"):
        load_gcndesign()
