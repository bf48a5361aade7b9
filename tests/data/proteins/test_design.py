"""Designs are written as they are read again: by gemmi, and by the columns of a PDB file."""

import numpy as np
import pytest

from deft.data.proteins import (
    Design,
    MotifProblem,
    Residue,
    Scaffold,
    Segment,
    designs_of,
    read_structure,
    write_design,
)
from deft.data.proteins.design import motif_to_pdb, standard_name, to_mmcif, to_pdb
from deft.data.proteins.structure import trace
from tests.data.proteins.made import backbone, helix
from tests.refusal import refused


def full(place):
    x, y, z = place
    return {**backbone(place), "O": (x + 1.5, y + 2.0, z + 0.3)}


def problem(name="MADE", names=("ALA", "UNK", "MSE", "TRP"), group=1):
    """Four residues, two, and three to five around them."""
    places = helix(6)
    first = tuple(Residue("A", 3 + i, "", n, full(places[i])) for i, n in enumerate(names))
    second = tuple(Residue("B", 9 + i, "", "LEU", full(places[4 + i])) for i in range(2))
    parts = (Scaffold(2, 2), Segment(first), Scaffold(3, 5), Segment(second, group), Scaffold(1, 1))
    return MotifProblem(name, parts, (12, 14))


def design(seed=0, atoms=True, **of):
    layout = problem(**of).sample_layout(seed)
    x = np.array(helix(layout.length))
    more = {"N": x - 1.2, "C": x + 1.1, "O": x + 2.0} if atoms else {}
    return Design(layout, x, more)


def test_names():
    assert design(0).names[2:6] == ["ALA", "GLY", "MET", "TRP"]
    assert set(design(0).names[:2]) == {"GLY"}
    assert standard_name(" leu ") == "LEU"
    assert standard_name("HIE") == "HIS"
    assert standard_name("UNK") == standard_name("LIG") == "GLY"


@pytest.mark.parametrize("ending", ["pdb", "cif"])
@pytest.mark.parametrize("atoms", [False, True])
def test_a_design_is_read_again(tmp_path, ending, atoms):
    pytest.importorskip("gemmi", reason="gemmi is in the extra `protein`")
    made = design(3, atoms)
    structure = read_structure(write_design(tmp_path / f"made.{ending}", made))
    assert structure.chains == ("A",)
    assert [r.number for r in structure.residues] == list(range(1, made.layout.length + 1))
    assert [r.name for r in structure.residues] == made.names
    np.testing.assert_allclose(trace(structure.residues), made.xyz, atol=6e-4)
    wanted = {"N", "CA", "C", "O"} if atoms else {"CA"}
    assert all(set(r.atoms) == wanted for r in structure.residues)


def test_columns():
    lines = to_pdb(design(0)).splitlines()
    assert lines[1] == (
        "ATOM      2  CA  GLY A   1       2.300   0.000   0.000  1.00  0.00           C  "
    )
    assert lines[-1] == "END"
    assert lines[-2].startswith("TER")
    bare = to_pdb(design(0), bare=True).splitlines()
    assert all(line.startswith("ATOM") and line[21] == "A" for line in bare)
    assert "CA  MET A   5" in to_pdb(design(0, atoms=False))


def test_the_motif_alone():
    layout = problem().sample_layout(1)
    lines = motif_to_pdb(layout).splitlines()
    assert all(line.startswith("ATOM") for line in lines)
    numbers = [int(line[22:26]) for line in lines if line[12:16].strip() == "CA"]
    assert numbers == (layout.index + 1).tolist()
    assert {line[72:76].strip() for line in lines if int(line[22:26]) <= 6} == {"A"}
    assert {line[72:76].strip() for line in lines if int(line[22:26]) > 6} == {"B"}
    assert [line[12:16].strip() for line in lines[:4]] == ["N", "CA", "C", "O"]


def test_mmcif_has_one_row_for_each_atom():
    made = design(0)
    text = to_mmcif(made)
    assert text.startswith("data_MADE\n")
    assert text.count("\nATOM ") == 4 * made.layout.length


def test_designs_of_padded_samples():
    layouts = [problem().sample_layout(seed) for seed in range(4)]
    x = np.zeros((4, 20, 3))
    made = designs_of(layouts, x)
    assert [len(one.xyz) for one in made] == [layout.length for layout in layouts]
    refused(lambda: designs_of(layouts, x[:, :5]), "the shape (4, 5, 3)", "(4, ")


def test_errors(tmp_path):
    layout = problem().sample_layout(0)
    n = layout.length
    refused(lambda: Design(layout, np.zeros((n - 1, 3))), f"the shape ({n - 1}, 3)", f"({n}, 3)")
    refused(
        lambda: Design(layout, np.full((n, 3), np.nan)),
        "values that are not finite, or have more digits than a file has room for",
        "from -999 to 9,999",
    )
    refused(lambda: Design(layout, np.zeros((n, 3)), {"CB": np.zeros((n, 3))}), "CB", "N, C and O")
    refused(
        lambda: write_design(tmp_path / "made.xyz", design()),
        "a name that ends with '.xyz'",
        ".pdb or .cif",
    )
