"""Problem files of Genie 2 and of MotifBench, tables of contigs, and folders of them."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deft.data.proteins import read_problem, read_problems
from deft.data.proteins.problems import from_benchmark, problem_of
from deft.errors import InvalidInput
from tests.data.proteins.made import chain, genie2, helix, mmcif, motifbench, pdb
from tests.refusal import refused

pytest.importorskip("gemmi", reason="gemmi is in the extra `protein`")

ROWS = [(5, 10), ("A", 3, 8, ""), (2, 4), ("B", 30, 33, ""), (0, 6)]
ATOMS = [*chain(6, "A", 3), *chain(4, "B", 30)]


def test_a_problem_of_genie_2(tmp_path):
    path = tmp_path / "made.pdb"
    path.write_text(genie2(ROWS, ATOMS, "MADE_short", (18, 26)))
    problem = read_problem(path)
    assert problem.name == "MADE_short"
    assert problem.contig == "5-10/A3-8/2-4/B30-33/0-6"
    assert problem.possible == (18, 26)
    assert problem.group.tolist() == [0] * 10
    np.testing.assert_allclose(problem.trace, helix(6) + helix(4), atol=6e-4)


def test_several_groups_whose_residues_come_in_another_order():
    rows = [("A", 3, 8, "B"), (5, 5), ("B", 30, 33, "A"), (1, 1), ("A", 20, 22, "B")]
    lines = [*chain(4, "B", 30), *chain(6, "A", 3), *chain(3, "A", 20)]
    problem = problem_of(genie2(rows, lines, length=(1, 60)), "made")
    assert problem.contig == "A3-8;B/5/B30-33/1/A20-22;B"
    assert problem.group.tolist() == [1] * 6 + [0] * 4 + [1] * 3


def test_two_structures_in_which_residues_have_the_same_numbers():
    rows = [("A", 3, 5, "A"), (5, 5), ("A", 3, 5, "B")]
    lines = [*chain(3, "A", 3), *chain(3, "A", 3, shift=90)]
    problem = problem_of(genie2(rows, lines, length=(1, 60)), "made")
    assert problem.trace[:, 0].max() > 80
    assert problem.trace[:3, 0].max() < 10


def test_columns_that_are_shifted():
    text = genie2(ROWS, ATOMS).replace("INPUT  A   3   8", "INPUT A 3 8")
    assert problem_of(text, "made").contig == "5-10/A3-8/2-4/B30-33/0-6"
    grouped = genie2([(5, 10), ("A", 3, 8, "B")], chain(6, "A", 3), length=(1, 60))
    grouped = grouped.replace("INPUT  A   3   8 B", "INPUT A 3 8 B")
    assert problem_of(grouped, "made").contig == "5-10/A3-8"


@pytest.mark.parametrize(
    ("old", "new", "given", "expected"),
    [
        ("A   3   8", "A   x   8", "REMARK 999 INPUT  A   x   8", "REMARK 999 INPUT with a chain"),
        ("INPUT      5  10", "INPUT", "REMARK 999 INPUT", "REMARK 999 INPUT with a chain"),
        ("A   3   8", "A   3   9", "A3 to A8", "residues 3 to 9 of chain A"),
        ("A   3   8", "A   2   8", "no residue A2", "residues 2 to 8 of chain A"),
        ("A   3   8", "C   3   8", "no residue C3", "residues 3 to 8 of chain C"),
        ("A   3   8", "A   3   7", "residues beyond those of the header, from A8 on", "INPUT"),
        (
            "LENGTH      60",
            "LENGTH      12",
            "a minimum total length of 20 and a maximum of 12",
            "before",
        ),
        ("LENGTH      60", "LENGTH      ab", "REMARK 999 MAXIMUM TOTAL LENGTH      ab", "whole"),
        ("INPUT      5  10", "INPUT     10   5", "10 to 5 residues", "low <= high"),
    ],
)
def test_headers_that_are_wrong(old, new, given, expected):
    text = genie2(ROWS, ATOMS)
    assert old in text
    refused(lambda: problem_of(text.replace(old, new), "made.pdb"), given, expected)


def test_an_unknown_residue_and_a_missing_atom_in_a_problem():
    lines = [line for line in ATOMS if line[12:26].split() != ["CA", "SER", "A", "5"]]
    refused(
        lambda: problem_of(genie2(ROWS, lines), "made"),
        "residues without a C-alpha atom: A5",
        "C-alpha atom is in the file",
    )


def test_a_problem_of_motifbench(tmp_path):
    path = tmp_path / "27_MADE.pdb"
    lines = [line.replace("GLY", "UNK") for line in chain(5, "A", 1)]
    path.write_text(motifbench("38;A;43;B;-2;C;46", 75, lines, chain(1, "B"), chain(3, "C", 1, 20)))
    problem = read_problem(path)
    assert problem.name == "27_MADE"
    assert problem.labels == ("A", "B", "C")
    assert problem.possible == (75, 75)
    assert [residue.name for residue in problem.residues][:3] == ["ALA", "UNK", "SER"]
    assert problem.parts[2].low == 1  # 6 angstrom back to the beginning of the helix
    assert problem.parts[4].low == 5  # 20 angstrom between the helices
    layout = problem.sample_layout(2)
    assert layout.length == 75
    placed = layout.placements.split("/")
    assert [word for word in placed if word.isalpha()] == ["A", "B", "C"]
    assert sum(int(word) for word in placed if word.isdigit()) == 75 - 9


def test_the_order_of_the_reference_and_the_older_header():
    text = motifbench("1;B;3;A;0", 40, chain(3, "A"), chain(4, "B", 1, 9))
    assert problem_of(text, "made").labels == ("B", "A")
    older = (
        text.replace("Reference PDB ID", "Original PDB ID")
        .replace("Motif Segment Placement in Reference PDB", "Contig")
        .replace("Length for Designed Scaffolds", "Total Length")
    )
    assert problem_of(older, "made").contig == problem_of(text, "made").contig


@pytest.mark.parametrize(
    ("placement", "length", "given", "expected"),
    [
        ("38;A;43", 75, "no place for chain B", "A, B"),
        ("38;A;43;C;1", 75, "C", "one of A, B"),
        ("38;A;x1;B;1", 75, "38;A;x1;B;1", "38;A;43;B;46"),
        ("A;A;B", 75, "A;A;B", "each chain once"),
        ("", 75, "nothing", "38;A;43;B;46"),
        ("38;A;43;B;1", "long", "long", "65, 50-75"),
        ("38;A;43;B;1", 10, 10, "at least 13 residues, 5 of them"),
    ],
)
def test_headers_of_motifbench_that_are_wrong(placement, length, given, expected):
    text = motifbench(placement, length, chain(5, "A"), chain(3, "B", 1, 20))
    refused(lambda: problem_of(text, "made.pdb"), given, expected)


def test_a_header_of_motifbench_without_a_length():
    text = motifbench("38;A;43", 75, chain(5, "A")).replace("REMARK 3", "REMARK 4")
    refused(lambda: problem_of(text, "made"), "no REMARK 3, the length", "three REMARK lines")


TABLE = (
    ",target,contig,length,motif_path\n"
    '0,one,"5-20,A3-8,5-20",20-30,./elsewhere/made.pdb\n'
    '1,two,"5,A3-8,4",,made.cif\n'
)


def test_a_table_of_contigs(tmp_path):
    (tmp_path / "made.pdb").write_text(pdb(ATOMS))
    (tmp_path / "made.cif").write_text(mmcif(9))
    table = tmp_path / "benchmark.csv"
    table.write_text(TABLE)
    problems = read_problems(table)
    assert [problem.name for problem in problems] == ["one", "two"]
    assert [problem.possible for problem in problems] == [(20, 30), (15, 15)]

    def refuses(text, given, expected, advice=""):
        table.write_text(text)
        return refused(lambda: read_problems(table), given, expected, advice)

    error = refuses(TABLE.replace("A3-8,4", "A3-99,4"), "A99", "1 to 9", "auth_seq_id")
    assert "row 3" in error.what
    assert "two" in error.what
    refuses(TABLE.replace("made.cif", "gone.cif"), "no file that can be read (No such file or "
            "directory)", "a PDB or mmCIF file")  # fmt: skip
    refuses(TABLE.replace("contig", "parts"), "no column contig", "target, contig, motif_path")
    refuses(",target,contig,length,motif_path\n", "no rows", "a table")
    refuses('a,"b', "what is no table: unexpected end of data", "a table")


def test_a_folder_of_problems(tmp_path):
    for name in ("b", "a"):
        (tmp_path / f"{name}.pdb").write_text(genie2(ROWS, ATOMS, name))
    assert [problem.name for problem in read_problems(tmp_path)] == ["a", "b"]
    assert [problem.name for problem in read_problems(tmp_path / "b.pdb")] == ["b"]
    (tmp_path / "b.pdb").rename(tmp_path / "b.ent")
    assert [problem.name for problem in read_problems(tmp_path)] == ["a", "b"]
    (tmp_path / "none").mkdir()
    refused(
        lambda: read_problems(tmp_path / "none"), "no .pdb or .ent file", "a folder of problems"
    )


def test_a_problem_without_a_name_has_that_of_its_file():
    text = genie2(ROWS, ATOMS)
    unnamed = "\n".join(line for line in text.splitlines() if " NAME " not in line)
    assert problem_of(unnamed, "folder/made_1.pdb").name == "made_1"


def test_a_structure_without_a_problem():
    refused(
        lambda: problem_of(pdb(ATOMS), "made.pdb"),
        "a file without a problem in its header",
        "REMARK 999 INPUT",
        "--contig",
    )
    refused(lambda: problem_of("", "made.pdb"), "an empty file", "REMARK 999 INPUT")


_LINES = st.sampled_from(
    [
        *genie2(ROWS, ATOMS).splitlines(),
        *motifbench("3;A;4", 40, chain(5, "A")).splitlines()[:3],
        "REMARK 999 INPUT  A   3   8 BCD",
        "REMARK 999 INPUT  A-3-2",
        "REMARK 2 Contig: ;;",
    ]
)


@given(st.lists(_LINES, max_size=14).map("\n".join))
@settings(max_examples=150)
def test_any_lines_are_a_problem_or_refused(text):
    try:
        problem = problem_of(text, "any")
    except InvalidInput:
        return
    assert problem.sample_layout(0).length >= len(problem.residues)


@given(st.integers(0, 700), st.text(max_size=4))
@settings(max_examples=150)
def test_a_damaged_problem_is_a_problem_or_refused(place, letters):
    text = genie2(ROWS, ATOMS)
    try:
        problem = problem_of(text[:place] + letters + text[place + len(letters) :], "any")
    except InvalidInput:
        return
    assert problem.layouts > 0


@given(
    st.one_of(
        st.text(max_size=80),
        st.lists(
            st.sampled_from(
                ["target", "contig", "length", "motif_path", ",", "\n", '"', "A3-8", "a.pdb"]
            ),
            max_size=20,
        ).map("".join),
        st.text(max_size=20).map(lambda text: f"target,contig,motif_path\na,{text},b.pdb\n"),
    )
)
@settings(max_examples=100)
def test_any_table_is_refused_where_there_are_no_structures(text):
    with pytest.raises(InvalidInput):
        from_benchmark(text, Path("/nowhere/benchmark.csv"))


FOLDER = os.environ.get("DEFT_MOTIFS")


@pytest.mark.skipif(not FOLDER, reason="DEFT_MOTIFS names no folder of motif problems")
def test_the_published_problems():
    """24 problems of one motif and 6 of several, as Genie 2 has them."""
    folder = Path(FOLDER or "")
    single = {p.name: p for p in read_problems(folder / "genie2_design25")}
    several = {p.name: p for p in read_problems(folder / "genie2_multimotifs")}
    assert len(single) == 24
    assert len(several) == 6
    assert all(problem.group.max() == 0 for problem in single.values())
    assert all(problem.group.max() > 0 for problem in several.values())
    assert sum(len(problem.segments) == 1 for problem in single.values()) == 17
    assert single["5TPN"].contig == "10-40/A163-181/10-40"
    for name, given_length, possible in (
        ("1YCR", (40, 100), (40, 89)),
        ("4ZYP", (30, 50), (35, 50)),
        ("5WN9", (35, 50), (40, 50)),
        ("7MRX_128", (128, 128), (128, 128)),
    ):
        assert single[name].length == given_length
        assert single[name].possible == possible
    one = [problem for problem in single.values() if len(problem.segments) == 1]
    assert sum(problem.possible[0] <= 64 for problem in one) == 9
    for problem in (*single.values(), *several.values()):
        low, high = problem.possible
        assert all(low <= problem.sample_layout(seed).length <= high for seed in range(5))
