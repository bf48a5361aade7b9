"""Designs from a pipeline: those of the command line, best first, and as files."""

import json

import numpy as np
import pytest
import torch

import deft
from deft.data.proteins import (
    MotifProblem,
    Residue,
    Scaffold,
    Segment,
    read_problem,
    read_structure,
)
from deft.data.proteins.structure import trace
from deft.errors import DeftWarning, SamplesNotFinite
from deft.pipeline import scaffolds
from deft.pipeline.scaffolds import Scaffolds, chains_at_all, layout_of
from tests.bad_input import protein_world
from tests.refusal import refused


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return protein_world.build(tmp_path_factory.mktemp("made") / "protein")


@pytest.fixture(scope="module")
def pipe(world):
    return deft.load(world / "h.safetensors")


@pytest.fixture(scope="module")
def found(pipe, world):
    return deft.scaffold(pipe, world / "motif.pdb", 3, steps=2, batch_size=2)


def test_a_design_is_the_same_whatever_it_is_drawn_with(pipe, world, found):
    alone = deft.scaffold(pipe, read_problem(world / "motif.pdb"), 2, steps=2, batch_size=1)
    for one, other in zip(alone.designs, found.designs):
        assert one.layout.lengths == other.layout.lengths
        np.testing.assert_allclose(one.xyz, other.xyz, atol=1e-2)
    assert len(found) == 3
    assert set(found.designs[0].atoms) == {"N", "C", "O"}


def test_a_weight_changes_the_designs(pipe, world, found):
    same, other = (
        deft.scaffold(pipe, world / "motif.pdb", 3, steps=2, weight=weight) for weight in (1.0, 3.0)
    )
    np.testing.assert_allclose(same.designs[0].xyz, found.designs[0].xyz, atol=1e-2)
    assert np.abs(other.designs[0].xyz - found.designs[0].xyz).max() > 0.1
    refused(
        lambda: deft.scaffold(pipe, world / "motif.pdb", 1, steps=2, weight=-1.0),
        -1.0,
        "a factor on the shift",
    )


def test_they_are_those_of_the_command_line(world, found, tmp_path):
    from deft.cli import main

    given = ["scaffold", "--problem", world / "motif.pdb", "--h", world / "h.safetensors"]
    options = ["-n", 3, "--steps", 2, "--out", tmp_path, "--judge", "false", "--page", "false"]
    assert main([str(word) for word in (*given, *options)]) == 0
    measures = {
        one["name"]: one["measures"]
        for one in json.loads((tmp_path / "designs.json").read_text())["designs"]
    }
    for k, one in enumerate(found.designs):
        x = trace(read_structure(tmp_path / f"MADE_{k}.pdb").chain("A"))
        np.testing.assert_allclose(x, one.xyz, atol=1e-2)
        assert measures[f"MADE_{k}"]["bonds"] == pytest.approx(found.measures[k]["bonds"])


def test_the_best_are_those_with_the_fewest_faults(found, tmp_path):
    best = found.best
    assert isinstance(best, Scaffolds)
    faults = [row["faults"] for row in best.measures]
    assert faults == sorted(row["faults"] for row in found.measures)
    paths = best.write(tmp_path, ".cif")
    assert [path.name for path in paths] == ["MADE_0.cif", "MADE_1.cif", "MADE_2.cif"]
    written = trace(read_structure(paths[0]).chain("A"))
    np.testing.assert_allclose(written, best.designs[0].xyz, atol=1e-3)


def test_lengths_are_those_that_the_prior_knows(pipe, world):
    """The layouts of the command line: tests/commands/test_scaffold.py."""
    problem = MotifProblem("made", (Scaffold(0, 40), read_problem(world / "motif.pdb").segments[0]))
    known = problem.within(pipe.prior.min_length, pipe.prior.max_length)
    found = deft.scaffold(pipe, problem, 8, steps=1)
    assert [one.layout.lengths for one in found.designs] == [
        layout_of(known, 0, i).lengths for i in range(8)
    ]
    assert any(layout_of(problem, 0, i).length not in range(16, 41) for i in range(8))


def test_only_residues_of_its_own_say_whether_it_is_a_chain():
    """One that fits into a file does so far from the origin, beside longer ones."""
    problem = MotifProblem("made", (Scaffold(5, 15), Segment(_RESIDUE)))
    layouts = [problem.sample_layout(seed) for seed in range(4)]
    places = max(layout.length for layout in layouts)
    assert min(layout.length for layout in layouts) < places
    x = torch.zeros(4, places, 3)
    for one, layout in zip(x, layouts):
        one[: layout.length] = 2000.0
    assert chains_at_all(x, layouts) == [True] * 4
    x[0, 0], x[1, 1] = torch.nan, 5000.0
    assert chains_at_all(x, layouts) == [False, False, True, True]


def test_designs_that_are_no_chains_are_left_out(pipe, world, found, monkeypatch):
    real = scaffolds.chains_at_all
    monkeypatch.setattr(scaffolds, "chains_at_all", lambda x, of: [False, *real(x, of)[1:]])
    with pytest.warns(DeftWarning, match="left out: 2 designs of 3, number 0, 2"):
        some = deft.scaffold(pipe, world / "motif.pdb", 3, steps=2, batch_size=2)
    assert len(some) == 1
    np.testing.assert_allclose(some.designs[0].xyz, found.designs[1].xyz, atol=1e-3)
    with pytest.raises(SamplesNotFinite, match="a smaller weight"):
        deft.scaffold(pipe, world / "motif.pdb", 1, steps=2)


def test_they_are_said_in_a_line(found):
    assert repr(found).startswith("Scaffolds(3 designs of MADE, motif within 1 Å: ")


def test_what_cannot_be_designed_is_refused(pipe, world):
    digits = deft.load("h-digits-32-box")
    refused(
        lambda: deft.scaffold(digits, world / "motif.pdb"),
        "one with the prior digits-32, whose signals have the shape [1, 32, 32]",
        "protein backbones",
    )
    refused(lambda: deft.scaffold(pipe, world / "motif.pdb", 0), 0, "a whole number")
    refused(lambda: deft.scaffold("h-made", world / "motif.pdb"), "'h-made'", "deft.load")
    refused(
        lambda: deft.scaffold(pipe, world / "short.pdb"),
        "10 to 13 residues",
        "at least 16, the shortest chain of",
    )
    refused(lambda: deft.scaffold(pipe, world / "chain.pdb"), _NO_HEADER, "REMARK 999")


_NO_HEADER = "a file without a problem in its header"
_RESIDUE = (Residue("A", 1, "", "ALA", {"CA": (0.0, 0.0, 0.0)}),)
