import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deft.data.proteins import from_contig
from deft.data.proteins.structure import structure_of
from deft.errors import InvalidInput
from tests.data.proteins.made import atom, chain, helix, mmcif, pdb
from tests.refusal import refused

pytest.importorskip("gemmi", reason="gemmi is in the extra `protein`")

BROKEN = [*chain(4, "B"), *chain(3, "B", 30, shift=40)]
INSERTED = [
    atom(i, "CA", "ALA", "H", number, place, insertion=code)
    for i, (number, code, place) in enumerate(
        zip((99, 100, 100, 101), "  A ", helix(4), strict=True)
    )
]
STRUCTURE = structure_of(pdb(chain(40, "A", -5), BROKEN), "made.pdb")


@pytest.mark.parametrize(
    "written",
    [
        "10-40/A3-9/10-40",
        "10-40,A3-9,10-40",
        " [10-40/A3-9/10-40] ",
        "'10-40/A3-A9/10-40'",
        '["10-40/A3-9/10-40"]',
        "10-40 / A3-9 / 10-40",
    ],
)
def test_one_problem_in_several_spellings(written):
    problem = from_contig(written, STRUCTURE, "30-50")
    assert problem.contig == "10-40/A3-9/10-40"
    assert problem.name == "made"
    assert problem.possible == (30, 50)
    assert [residue.number for residue in problem.residues] == list(range(3, 10))


def test_single_residues_and_numbers_below_zero():
    problem = from_contig("5/A-5--3/6/A10/0-3", STRUCTURE)
    assert [residue.number for residue in problem.residues] == [-5, -4, -3, 10]
    assert problem.possible == (15, 18)
    assert from_contig(problem.contig, STRUCTURE).residues == problem.residues


def test_insertion_codes():
    structure = structure_of(pdb(INSERTED), "made")
    problem = from_contig("3/H100A-101/3", structure)
    assert [residue.place for residue in problem.residues] == ["H100A", "H101"]
    assert problem.contig == "3/H100A-101/3"


def test_groups():
    problem = from_contig("2/A1-4;B/5/B1-4/3/A9-10;b/2", STRUCTURE)
    assert problem.group.tolist() == [1] * 4 + [0] * 4 + [1] * 2
    assert problem.contig == "2/A1-4;B/5/B1-4/3/A9-10;B/2"


def test_chains_with_a_digit_in_their_name_and_without_one(tmp_path):
    (tmp_path / "made.cif").write_text(mmcif(12, letter="A1"))
    problem = from_contig("5/A1:3-9/5", tmp_path / "made.cif")
    assert [residue.chain for residue in problem.residues] == ["A1"] * 7
    assert problem.contig == "5/A1:3-9/5"
    assert from_contig(problem.contig, tmp_path / "made.cif").residues == problem.residues
    refused(lambda: from_contig("5/A3-9/5", tmp_path / "made.cif"), "A", "A1", "A1:163-181")
    refused(lambda: from_contig("5/A1:3-90/5", tmp_path / "made.cif"), "A1:90", "1 to 12")
    (tmp_path / "blank.pdb").write_text(pdb(chain(9, " ")))
    unnamed = from_contig("5/_3-9/5", tmp_path / "blank.pdb")
    assert unnamed.contig == "5/_3-9/5"
    assert from_contig("5/_3-_9/5", tmp_path / "blank.pdb").residues == unnamed.residues


def test_a_segment_without_a_letter_is_of_the_first_group():
    problem = from_contig("2/A1-4/5/B1-4;B/3/A9-10;A/2", STRUCTURE)
    assert problem.group.tolist() == [0] * 4 + [1] * 4 + [0] * 2
    assert from_contig(problem.contig, STRUCTURE).group.tolist() == problem.group.tolist()


def test_a_residue_comes_once_in_a_group():
    refused(
        lambda: from_contig("5/A1-9/8/A1-9/5", STRUCTURE),
        "A1 twice in 5/A1-9/8/A1-9/5",
        "once",
        ";B",
    )
    refused(
        lambda: from_contig("5/A1-9/8/A9-12/5", STRUCTURE),
        "A9 twice in 5/A1-9/8/A9-12/5",
        "one place",
        "shorten",
    )
    assert from_contig("5/A1-9/8/A1-9;B/5", STRUCTURE).group.tolist() == [0] * 9 + [1] * 9


@pytest.mark.parametrize("written", ["A1-9/0 B1-4", "A1-9/0", "0/A1-9", "A1-9/0/5", "A1-9 5-10"])
def test_chain_breaks_are_refused(written):
    refused(
        lambda: from_contig(written, STRUCTURE),
        f"{written}, with a chain break (`0`, or a space)",
        "one chain",
        "0-0",
    )


def test_errors():
    def contig(written, length=None):
        return lambda: from_contig(written, STRUCTURE, length)

    refused(contig(""), "an empty text", "10-40, A163-181 or A38")
    refused(contig("5//A1-4"), "an empty part in 5//A1-4", "slash or a comma")
    refused(contig("5/A1-4;/5"), "'A1-4;' in 5/A1-4;/5", "A163-181")
    refused(contig("5/A1_4"), "'A1_4' in 5/A1_4", "A163-181")
    refused(contig("9-5/A1-4"), "9-5 in 9-5/A1-4", "low-high")
    refused(contig("99999/A1-4"), "99999 in 99999/A1-4", "4,096")
    refused(contig("A1-B4"), "A1-B4 in A1-B4", "one chain")
    refused(contig("5/C1-4"), "C", "A, B")
    refused(contig("5/A30-50"), "A50", "-5 to 34")
    refused(contig("5/B2-31"), "a chain break: 41.4 angstrom between B4 and B30", "at most 4.5")
    refused(contig("5-9"), "no segment", "known structure")
    refused(contig("5-9/A1-4/5-9", "60-90"), "60 to 90 residues", "14 to 22: 5-9/A1-4/5-9")
    refused(contig("5-9/A1-4/5-9", "sixty"), "sixty", "65, 50-75")
    refused(contig("5-9/A1-4/5-9", (15.5, 20)), "15.5-20", "65, 50-75")
    refused(contig("5-9/A1-4/5-9", (15, 16, 20)), "15-16-20", "65, 50-75")
    assert contig("5-9/A1-4/5-9", (15, 20))().possible == (15, 20)


_TOKENS = st.sampled_from(
    ["5", "5-9", "0-0", "0", "A1-4", "B1-4;B", "A9", "C1", "A", "-", "", " ", "/", ",", "[", "]"]
)


@given(
    st.one_of(st.text(max_size=60), st.lists(_TOKENS, max_size=8).map("/".join)),
    st.one_of(st.none(), st.text(max_size=8), st.sampled_from(["5-60", "70"])),
)
@settings(max_examples=200)
def test_any_text_is_a_problem_or_refused(written, length):
    try:
        problem = from_contig(written, STRUCTURE, length)
    except InvalidInput:
        return
    low, high = problem.possible
    assert low <= problem.sample_layout(1).length <= high
    again = from_contig(problem.contig, STRUCTURE, length)
    assert again.parts == problem.parts
