"""`deft train` on chains: what is held out, and a run that goes on to designs."""

import json

import numpy as np
import pytest

from deft.commands.training_chains import of_chains, sources
from deft.priors import zoo
from deft.samplers.cooled import Cooled
from deft.training import checkpoint
from deft.training.validated import sampler_of
from tests.bad_input import protein_world
from tests.commands.conftest import tiny_prior
from tests.data.proteins.made import chain, helix, pdb
from tests.refusal import refused


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = protein_world.build(tmp_path_factory.mktemp("made") / "protein")
    protein_world.table(root / "ten.npz", [helix(n) for n in range(40, 50)])
    return root


def test_which_priors_are_of_chains():
    assert of_chains(protein_world.tiny_backbone())
    assert not of_chains(tiny_prior())
    refused(lambda: sources(None, None, tiny_prior(), 0.1), "tiny", "a prior of backbones")


def test_the_last_chains_are_held_out(world):
    prior = protein_world.tiny_backbone(most=60)
    train, held_out = sources(world / "ten.npz", None, prior, 0.2)
    assert [len(chain) for chain in train.chains] == list(range(40, 48))
    assert [len(chain) for chain in held_out.chains] == [48, 49]
    every, none = sources(world / "ten.npz", None, prior, 0.0)
    assert (len(every), none) == (10, None)
    other, given = sources(world / "ten.npz", world / "chains.npz", prior, 0.2)
    assert (len(other), len(given)) == (10, 3)


def test_of_one_chain_none_is_held_out(world, tmp_path):
    protein_world.table(tmp_path / "one.npz", [helix(41)])
    prior = protein_world.tiny_backbone(most=60)
    refused(lambda: sources(tmp_path / "one.npz", None, prior, 0.2), 0.2, "of one chain")


def test_structures_are_chains_and_short_ones_are_left_out(tmp_path):
    (tmp_path / "a.pdb").write_text(pdb(chain(45), chain(12, "B", shift=40.0)))
    train, _ = sources(tmp_path, None, protein_world.tiny_backbone(most=60), 0.0)
    assert [len(x) for x in train.chains] == [45]


def test_a_long_chain_is_cut_into_windows_that_are_all_of_it(tmp_path):
    protein_world.table(tmp_path / "long.npz", [helix(95), helix(40), helix(41)])
    train, _ = sources(tmp_path / "long.npz", None, protein_world.tiny_backbone(), 0.0)
    assert [len(x) for x in train.chains] == [40] * 6
    z = [np.asarray(x[:, 2] - x[0, 2]) / 1.5 for x in train.chains]
    assert all(np.allclose(one, np.arange(40), atol=1e-4) for one in z)
    whole = np.array(helix(95))
    near = [
        np.linalg.norm(whole[s : s + 40] - whole[s : s + 40].mean(0) - np.asarray(x)) < 1e-3
        for s, x in zip((0, 28, 55), train.chains)
    ]
    assert near == [True] * 3


def test_from_chains_to_designs(deft, world, tmp_path):
    given = [
        *("train", "--prior", world / "tiny.safetensors", "--problem", "MotifScaffolding"),
        *("--images", world / "ten.npz", "--out", tmp_path / "run", "--batch_size", 2),
        *("--validation_share", 0.2, "--validation_draws", 4, "--fraction", 0.3),
    ]
    code, said, errors = deft(*given, "--steps", 2)
    assert code == 0, errors
    assert "chains: 15 to train, 4 held out" in said  # two windows each, of chains of more than 40
    assert "deft scaffold --h" in said
    card = checkpoint.read_card(tmp_path / "run" / "h.safetensors")
    assert card["problem"]["class"] == "MotifScaffolding"
    assert card["weight"] is None
    assert card["architecture"]["class"] == "BackboneHTransform"
    sampler = sampler_of(card)
    assert isinstance(sampler, Cooled)
    assert (sampler.steps, sampler.noise_scale, sampler.below) == (80, 0.6, 6.0)
    assert np.isfinite(card["sampler"]["misfit"])
    code, _, errors = deft(*given, "--steps", 3)
    assert code == 0, errors
    log = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(log[-1])["step"] == 3
    code, _, errors = deft(
        *("scaffold", "--h", tmp_path / "run", "--problem", world / "motif.pdb", "-n", 1),
        *("--steps", 2, "--out", tmp_path / "out", "--judge", "false", "--page", "false"),
    )
    assert code == 0, errors
    assert zoo.load(world / "tiny.safetensors").name in (tmp_path / "out/designs.json").read_text()


def test_an_h_that_is_trained_on_keeps_its_weight(deft, world, tmp_path):
    prior = zoo.load(world / "tiny.safetensors")
    h, card = checkpoint.load(world / "h.safetensors", prior)
    kept = {"problem": card["problem"], "prior_from": card["prior_from"], "weight": 3.0}
    checkpoint.save(tmp_path / "h.safetensors", h, prior, kept)
    code, _, errors = deft(
        *("adapt", "--h", tmp_path / "h.safetensors", "--problem", "MotifScaffolding"),
        *("--images", world / "ten.npz", "--out", tmp_path / "run", "--batch_size", 2),
        *("--steps", 1),
    )
    assert code == 0, errors
    assert checkpoint.read_card(tmp_path / "run" / "h.safetensors")["weight"] == 3.0
