import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deft.data.proteins import structure as module
from deft.data.proteins.structure import read_structure, structure_of, trace
from deft.errors import InvalidInput
from tests.data.proteins.made import atom, chain, helix, mmcif, pdb
from tests.refusal import refused

pytest.importorskip("gemmi", reason="gemmi is in the extra `protein`")


def test_a_pdb_file(tmp_path):
    path = tmp_path / "made.pdb"
    path.write_text(pdb(chain(5, "A", 10), chain(3, "B")))
    structure = read_structure(path)
    assert structure.chains == ("A", "B")
    assert [residue.place for residue in structure.chain("B")] == ["B1", "B2", "B3"]
    first = structure.residues[0]
    assert (first.number, first.name, set(first.atoms)) == (10, "ALA", {"N", "CA", "C"})
    np.testing.assert_allclose(trace(structure.chain("A")), helix(5), atol=6e-4)


def test_mmcif_says_the_same_by_the_author_s_numbers():
    found = structure_of(mmcif(5, "H", 10), "made.cif")
    same = structure_of(pdb(chain(5, "H", 10)), "made.pdb")
    assert [r.place for r in found.residues] == [r.place for r in same.residues]
    assert [r.name for r in found.residues] == [r.name for r in same.residues]
    np.testing.assert_allclose(trace(found.residues), trace(same.residues), atol=1e-6)


def test_the_first_of_alternate_locations():
    lines = chain(3)
    lines[4:5] = [
        atom(5, "CA", "GLY", "A", 2, (1.0, 2.0, 3.0), alternate="B"),
        atom(5, "CA", "SER", "A", 2, (4.0, 5.0, 6.0), alternate="C"),
    ]
    residues = structure_of(pdb(lines), "made").residues
    assert len(residues) == 3
    assert residues[1].atoms["CA"] == (1.0, 2.0, 3.0)
    assert residues[1].name == "GLY"


def test_the_first_model():
    models = ["MODEL        1", *chain(3), "ENDMDL", "MODEL        2", *chain(4, shift=9), "ENDMDL"]
    assert len(structure_of("\n".join(models), "made").residues) == 3
    unfinished = ["MODEL        1", *chain(3)]
    assert len(structure_of("\n".join(unfinished), "made").residues) == 3


def test_insertion_codes_are_kept():
    places = helix(4)
    lines = [
        atom(i, "CA", "ALA", "A", number, place, insertion=code)
        for i, (number, code, place) in enumerate(
            zip((52, 52, 52, 53), (" ", "A", "B", " "), places, strict=True)
        )
    ]
    structure = structure_of(pdb(lines), "made")
    assert [residue.place for residue in structure.residues] == ["A52", "A52A", "A52B", "A53"]
    span = structure.span("A", (52, "A"), (53, ""))
    assert [residue.place for residue in span] == ["A52A", "A52B", "A53"]


def test_a_hetero_residue_is_one_of_the_chain_and_ligands_are_not():
    lines = chain(3)
    lines[3:6] = [line.replace("ATOM  ", "HETATM").replace("GLY", "MSE") for line in lines[3:6]]
    others = [
        atom(90, "O", "HOH", "A", 201, (0, 0, 9), record="HETATM"),
        "HETATM   91 CA    CA A 202       0.000   0.000   0.000  1.00  0.00          CA",
        atom(92, "CA", "XXX", "A", 203, (0, 0, 5), record="HETATM"),
    ]
    residues = structure_of(pdb([*lines, *others]), "made").residues
    assert [residue.name for residue in residues] == ["ALA", "MSE", "SER"]
    assert "CA" in residues[1].atoms


def test_an_unknown_residue_with_a_backbone_is_one():
    lines = [line.replace("GLY", "LE1") for line in chain(3)]
    assert [r.name for r in structure_of(pdb(lines), "made").residues] == ["ALA", "LE1", "SER"]


def test_what_no_motif_can_be():
    lines = [line for line in chain(8) if not (line[13:15] == "CA" and line[22:26] == "   4")]
    structure = structure_of(pdb(lines, chain(4, "B"), chain(3, "B", 30, shift=40)), "made.pdb")
    refused(
        lambda: structure.span("A", (2, ""), (6, "")),
        "residues without a C-alpha atom: A4",
        "C-alpha atom is in the file",
        "leave them out",
    )
    assert len(structure.span("A", (5, ""), (8, ""))) == 4
    error = refused(
        lambda: structure.span("B", (1, ""), (32, "")),
        "a chain break: 41.4 angstrom between B4 and B30",
        "at most 4.5 angstrom",
        "two segments",
    )
    assert "made.pdb" in error.what
    refused(lambda: structure.span("b", (1, ""), (2, "")), "b", "A, B", "")
    refused(
        lambda: structure.span("B", (1, ""), (9, "")), "B9", "1 to 4 and 30 to 32", "auth_seq_id"
    )
    refused(lambda: structure.span("B", (4, ""), (1, "")), "B4 to B1", "first residue before")


def test_files_that_are_none(tmp_path):
    def made(name, data):
        path = tmp_path / name
        path.write_bytes(data)
        return lambda: read_structure(path)

    refused(made("empty.pdb", b""), "an empty file", "a structure", "PDB or mmCIF")
    refused(made("blank.pdb", b" \n\n"), "an empty file", "a structure")
    refused(made("binary.pdb", bytes(range(256))), "a binary file", "text")
    refused(made("packed.pdb", b"\x1f\x8b\x08"), "a gzip file", "text", "gunzip")
    refused(made("words.pdb", b"no structure\n"), "no amino acids", "ATOM records")
    refused(made("nothing.cif", b"data_x\n_entry.id x\n"), "no amino acids", "_atom_site")
    refused(lambda: read_structure(tmp_path), "a folder", "a PDB or mmCIF file")
    with pytest.raises(InvalidInput) as raised:
        read_structure(tmp_path / "not there.pdb")
    assert "No such file" in raised.value.given
    with pytest.raises(InvalidInput) as raised:
        made("cut.pdb", b"ATOM      1  CA  GLY A   1       1.0\n")()
    assert "columns 31 to 54" in raised.value.expected
    with pytest.raises(InvalidInput) as raised:
        made("cut.cif", b"data_x\nloop_\n_atom_site.id\n1 2\n_atom_site.id\n")()
    assert "gemmi cannot read" in raised.value.given
    with pytest.raises(InvalidInput):
        made("cut.cif", b"data_x\nloop_\n_atom_site.id\n_atom_site.Cartn_x\n1\n")()


def test_coordinates_that_are_no_numbers():
    text = mmcif(3).replace(f"{helix(3)[1][0]:.3f}", "nan")
    with pytest.raises(InvalidInput):
        structure_of(text, "made.cif").span("A", (1, ""), (3, ""))


@pytest.mark.parametrize("columns", [" " * 24, "  xx.xxx   0.000   0.000"])
def test_coordinates_of_a_pdb_file_that_cannot_be_read_are_not_0(columns):
    lines = chain(3)
    lines[4] = lines[4][:30] + columns + lines[4][54:]
    with pytest.raises(InvalidInput, match=r"line 5 of made\.pdb.*three finite coordinates"):
        structure_of(pdb(lines), "made.pdb")


def test_atoms_at_one_place_are_no_motif():
    lines = chain(3)
    lines[4] = lines[4][:30] + lines[1][30:54] + lines[4][54:]
    structure = structure_of(pdb(lines), "made.pdb")
    with pytest.raises(InvalidInput, match=r"0\.0 angstrom between A1 and A2.*2 angstrom apart"):
        structure.span("A", (1, ""), (3, ""))


def test_without_gemmi_the_extra_is_named(monkeypatch):
    def gone(name):
        raise ImportError(name)

    monkeypatch.setattr(module, "import_module", gone)
    with pytest.raises(InvalidInput, match=r"pip install deft-diffusion\[protein\]"):
        structure_of(pdb(chain(3)), "made")


_LINES = st.sampled_from(
    [*chain(3), *mmcif(2).splitlines(), "TER", "ENDMDL", "MODEL        1", "HETATM", "ATOM  "]
)


@given(st.one_of(st.text(max_size=200), st.lists(_LINES, max_size=12).map("\n".join)))
@settings(max_examples=150)
def test_any_text_is_a_structure_or_refused(text):
    try:
        structure = structure_of(text, "any")
    except InvalidInput:
        return
    assert structure.residues


@given(st.integers(0, 400), st.characters(codec="utf-8"))
@settings(max_examples=80)
def test_a_damaged_file_is_a_structure_or_refused(place, letter):
    text = mmcif(3) if place % 2 else pdb(chain(3))
    damaged = text[:place] + letter + text[place + 1 :]
    try:
        structure = structure_of(damaged, "any")
    except InvalidInput:
        return
    assert structure.residues
