"""Designs from a pipeline: those of the command line, best first, and as files."""

import json

import numpy as np
import pytest

import deft
from deft.data.proteins import read_problem, read_structure
from deft.data.proteins.structure import trace
from deft.pipeline.scaffolds import Scaffolds
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


def test_what_cannot_be_designed_is_refused(pipe, world):
    digits = deft.load("h-digits-32-box")
    refused(
        lambda: deft.scaffold(digits, world / "motif.pdb"),
        "one with the prior digits-32, whose signals have the shape [1, 32, 32]",
        "protein backbones",
    )
    refused(lambda: deft.scaffold(pipe, world / "motif.pdb", 0), 0, "a whole number")
    long = read_problem(world / "long.pdb")
    assert long.within(40).possible == (40, 40)
    refused(lambda: deft.scaffold(pipe, world / "chain.pdb"), _NO_HEADER, "REMARK 999")


_NO_HEADER = "a file without a problem in its header"
