"""Exports have no faults, and each fault of a list is found in a folder that has it."""

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deft.data.proteins import (
    Design,
    MotifProblem,
    Scaffold,
    Segment,
    check_folder,
    check_layouts,
    export_insilico,
    export_motifbench,
)
from deft.data.proteins.structure import Residue
from tests.data.proteins.made import helix
from tests.data.proteins.test_design import full
from tests.refusal import refused

NAME, COUNT = "27_MADE", 8


def problem(group=0):
    """Two segments of a bent helix, of which the second is longer."""
    places = helix(7) + [(x + 9, z, -y) for x, y, z in helix(9)]
    first, second = (
        Segment(
            tuple(
                Residue("A", 1 + i, "", ("ALA", "UNK", "TRP")[i % 3], full(place))
                for i, place in enumerate(segment)
            ),
            k * group,
        )
        for k, segment in enumerate((places[:7], places[7:]))
    )
    parts = (Scaffold(0, 20), first, Scaffold(4, 20), second, Scaffold(0, 20))
    return MotifProblem(NAME, parts, (40, 40))


def designs(count=COUNT, group=0):
    """Designs whose motif is where it is placed; the rest is a line far away."""
    made = []
    for seed in range(count):
        layout = problem(group).sample_layout(seed)
        x = np.arange(40.0)[:, None] * [3.8, 0.0, 0.0] + 50
        x[layout.index] = layout.problem.trace
        made.append(Design(layout, x, {"N": x - 1.0, "C": x + 1.0, "O": x + 2.0}))
    return made


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    """As if MotifBench asked for 8 designs of each problem."""
    assert check_layouts.DESIGNS == 100
    monkeypatch.setattr(check_layouts, "DESIGNS", COUNT)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A folder that a test must copy before it spoils it."""
    folder = tmp_path_factory.mktemp("exported")
    export_motifbench(folder, designs())
    export_insilico(folder / "insilico", designs(3, group=1))
    return folder


@pytest.fixture
def bench(exported, tmp_path):
    return _copied(exported / NAME, tmp_path / NAME)


@pytest.fixture
def pipeline(exported, tmp_path):
    return _copied(exported / "insilico", tmp_path / "insilico")


def _copied(source, place):
    for path in source.rglob("*"):
        if path.is_file():
            target = place / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return place


def words(faults):
    return [str(fault) for fault in faults]


def test_exports_have_no_faults(bench, pipeline):
    assert words(check_folder(bench.parent, {NAME: problem()})) == []
    assert words(check_folder(bench)) == []
    assert words(check_folder(pipeline)) == []
    assert words(check_folder(pipeline / f"motif={NAME}")) == []


def test_a_motif_that_was_not_compared_is_said(bench, pipeline, tmp_path):
    other = {"OTHER": problem()}
    for folder in (bench.parent, pipeline):
        assert (
            "OTHER: its motif was compared with no design" in words(check_folder(folder, other))[0]
        )
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "a.pdb").write_bytes((bench / f"{NAME}_0.pdb").read_bytes())
    assert "compared with no design" in words(check_folder(tmp_path / "bare", other))[-1]


def test_a_motif_of_the_pipeline_that_is_elsewhere(pipeline):
    told = {NAME: problem(group=1)}
    assert words(check_folder(pipeline, told)) == []
    assert words(check_folder(pipeline / f"motif={NAME}", told)) == []
    path = pipeline / f"motif={NAME}" / "pdbs" / f"{NAME}_1.pdb"
    layout = designs(2, group=1)[1].layout
    moved = {int(k) + 1 for k in layout.index[:3]}

    def shifted(line):
        if not line.startswith("ATOM") or int(line[22:26]) not in moved:
            return line
        return f"{line[:30]}{float(line[30:38]) + 15:8.3f}{line[38:]}"

    edit(path, lambda text: "\n".join(map(shifted, text.split("\n"))))
    found = words(check_folder(pipeline, told))
    assert len(found) == 1
    assert found[0].startswith(f"{NAME}_1.pdb: the motif ")
    assert "the design misses its motif" in found[0]


def test_the_table_of_motifbench(bench):
    lines = (bench / "scaffold_info.csv").read_text().splitlines()
    assert lines[0] == "sample_num,motif_placements"
    assert len(lines) == COUNT + 1
    assert re.fullmatch(r"0,(\d+/)?A/\d+/B(/\d+)?", lines[1])


def edit(path, change):
    path.write_text(change(path.read_text()))


ONE = f"{NAME}_3.pdb"
SPOILED = {
    "unknown residues": (
        lambda text: text.replace("GLY", "UNK"),
        "none of the twenty amino acids: UNK",
        "write unknown residues as GLY",
    ),
    "two models": (
        lambda text: f"MODEL 1\n{text}ENDMDL\nMODEL 2\n{text}ENDMDL\n",
        "2 scaffolds in one file",
        "one file for each scaffold",
    ),
    "two files in one": (lambda text: text + text, "2 scaffolds in one file", "one file"),
    "a second chain": (
        lambda text: text.replace("END\n", "") + text.replace(" A  ", " B  "),
        "several chains: A, B",
        "one chain",
    ),
    "another chain": (lambda text: text.replace(" A  ", " B  "), "chain B", "call it A"),
    "numbers from 0": (
        lambda text: re.sub(r" A( ..\d)", lambda m: f" A{int(m[1]) - 1:4d}", text),
        "residue 1 is numbered 0",
        "from 1 to L",
    ),
    "a number left out": (
        lambda text: re.sub(r" A(  2[5-9]|  3\d)", lambda m: f" A{int(m[1]) + 1:4d}", text),
        "residue 25 is numbered 26",
        "from 1 to L",
    ),
    "insertion codes": (lambda text: text.replace(" A   4 ", " A   4A"), "insertion codes", "1"),
    "no trace": (
        lambda text: "\n".join(line for line in text.splitlines() if " CA " not in line),
        "40 residues without a C-alpha atom: 1, 2, 3, 4, 5, ...",
        "C-alpha",
    ),
    "hetero": (lambda text: text.replace("ATOM  ", "HETATM", 3), "HETATM lines", "as ATOM"),
    "two places": (lambda text: text.replace(" CA  GLY", " CA BGLY", 1), "alternate", "keep one"),
    "no numbers": (lambda text: text.replace("50.000", "   nan", 1), "no numbers", "columns"),
    "empty": (lambda text: "", "no ATOM line", "again"),
    "words": (lambda text: "no design\n", "no ATOM line", "again"),
    "binary": (lambda text: "\0\1", "a binary file", "again"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_file_that_is_wrong(bench, name):
    change, what, advice = SPOILED[name]
    edit(bench / ONE, change)
    faults = [fault for fault in check_folder(bench) if fault.where == ONE]
    assert any(what in fault.what and advice in fault.advice for fault in faults), words(faults)


TABLES = {
    "no table": (lambda text: "", "no row in scaffold_info.csv", ""),
    "columns": (
        lambda text: text.replace("motif_placements", "placement"),
        "the columns sample_num, placement",
        "sample_num, motif_placements",
    ),
    "from 1": (
        lambda text: re.sub(r"\n(\d+),", lambda m: f"\n{int(m[1]) + 1},", text),
        "sample_num 1 in row 1",
        "count from 0",
    ),
    "twice": (lambda text: text.replace("\n4,", "\n3,"), "sample_num 3 twice", "one row"),
    "more": (lambda text: f"{text}8,1/A/2/B\n", f"no file {NAME}_8.pdb", "scaffold_info"),
    "words": (
        lambda text: re.sub(r"\n3,.*", "\n3,here and there", text),
        "the placement here and there",
        "38/A/43/B/46",
    ),
    "a segment twice": (
        lambda text: re.sub(r"\n3,.*", "\n3,A/4/A/30", text), "the placement A/4/A/30", "38/A/43"
    ),
    "a segment left out": (
        lambda text: re.sub(r"\n3,.*", "\n3,5/A/28", text), "the placement 5/A/28", "A, B"
    ),
    "another length": (
        lambda text: re.sub(r"\n3,.*", "\n3,5/A/6/B/5", text),
        "40 residues, and the placement 5/A/6/B/5 has 32",
        "mend either",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_is_wrong(bench, name):
    change, what, advice = TABLES[name]
    edit(bench / "scaffold_info.csv", change)
    faults = check_folder(bench.parent, {NAME: problem()})
    assert any(what in fault.what and advice in fault.advice for fault in faults), words(faults)


def test_segments_in_another_order(bench):
    def swapped(text):
        return re.sub(r"\n3,.*", lambda m: m[0].translate(str.maketrans("AB", "BA")), text)

    edit(bench / "scaffold_info.csv", swapped)
    (fault,) = check_folder(bench.parent, {NAME: problem()})
    assert fault.where == ONE
    assert "angstrom from where it is placed" in fault.what
    placed = dict(
        line.split(",") for line in (bench / "scaffold_info.csv").read_text().splitlines()
    )["3"].translate(str.maketrans("AB", "BA"))
    assert fault.advice == f"its segments are in the order {placed}"


def test_a_placement_that_is_off_by_one(bench):
    text = (bench / "scaffold_info.csv").read_text()
    row = next(line for line in text.splitlines() if line.startswith("3,"))
    numbers = [int(n) for n in re.findall(r"\d+", row)[1:]]
    assert len(numbers) == 3
    first, gap, last = numbers
    edit(
        bench / "scaffold_info.csv",
        lambda text: text.replace(row, f"3,{first + 1}/A/{gap}/B/{last - 1}"),
    )
    (fault,) = check_folder(bench.parent, {NAME: problem()})
    assert "from where it is placed" in fault.what
    assert "look at the placement: lengths, and the order of segments" in fault.advice


def test_another_residue_in_the_motif(bench):
    edit(bench / ONE, lambda text: text.replace("TRP", "ALA"))
    (fault,) = check_folder(bench.parent, {NAME: problem()})
    assert re.fullmatch(r"residue \d+ is ALA", fault.what)
    assert fault.advice == "the motif has TRP"


def test_files_that_are_missing_or_too_many(bench):
    (bench / ONE).unlink()
    (bench / "other.pdb").write_text((bench / f"{NAME}_4.pdb").read_text())
    found = words(check_folder(bench))
    assert any(f"no file {ONE}" in fault for fault in found)
    assert any("other.pdb: a name of another kind" in fault for fault in found)
    (bench / "other.pdb").unlink()
    assert any("7 designs" in fault for fault in words(check_folder(bench)))


def test_a_name_that_cannot_be_taken_apart(bench):
    other = bench.rename(bench.parent / "a_b_c")
    assert any("cannot take apart" in fault for fault in words(check_folder(other)))


def test_a_problem_without_its_table(bench):
    (bench / "scaffold_info.csv").unlink()
    assert words(check_folder(bench.parent)) == [
        f"{NAME}: no scaffold_info.csv; MotifBench needs it in each folder"
    ]


PIPELINE = {
    "a remark": ("pdbs", lambda text: f"REMARK made\n{text}", "records beside ATOM: REMARK"),
    "an end": ("motif_pdbs", lambda text: f"{text}TER\nEND\n", "records beside ATOM: TER, END"),
    "no oxygen": (
        "motif_pdbs",
        lambda text: "\n".join(line for line in text.splitlines() if "  O   " not in line),
        "without O",
    ),
    "other numbers": (
        "motif_pdbs",
        lambda text: re.sub(r" A( ..\d)", lambda m: f" A{int(m[1]) + 40:4d}", text),
        "which the design has not",
    ),
    "another name": (
        "motif_pdbs",
        lambda text: text.replace("TRP", "LEU"),
        "is LEU, and TRP in the design",
    ),
    "empty": ("motif_pdbs", lambda text: "", "no ATOM line"),
}


@pytest.mark.parametrize("name", PIPELINE)
def test_a_pipeline_that_would_stop(pipeline, name):
    part, change, what = PIPELINE[name]
    edit(pipeline / f"motif={NAME}" / part / f"{NAME}_1.pdb", change)
    assert any(what in fault for fault in words(check_folder(pipeline)))


def test_a_motif_that_is_missing_or_a_dot(pipeline):
    place = pipeline / f"motif={NAME}"
    (place / "motif_pdbs" / f"{NAME}_1.pdb").unlink()
    assert any(f"no {NAME}_1.pdb in motif_pdbs" in fault for fault in words(check_folder(place)))
    for part in ("pdbs", "motif_pdbs"):
        path = place / part / f"{NAME}_2.pdb"
        path.rename(place / part / "v1.2.pdb")
    assert any("a dot in its name" in fault for fault in words(check_folder(place)))


_PARTS = st.sampled_from(
    ["ATOM  ", "HETATM", "    1", "  CA ", "GLY", " A", "   1 ", "  1.000", "\n", "END\n", "TER"]
)


@given(
    st.one_of(st.text(max_size=120), st.lists(_PARTS, max_size=30).map("".join)),
    st.one_of(st.text(max_size=60), st.sampled_from(["A/1/B", "1/A", "0/A/33/B/9"])),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_has_faults_or_none(tmp_path, text, placement):
    place = tmp_path / NAME
    place.mkdir(exist_ok=True)
    (place / f"{NAME}_0.pdb").write_text(text, encoding="utf-8", newline="")
    table = f"sample_num,motif_placements\n0,{placement}\n"
    (place / "scaffold_info.csv").write_text(table, encoding="utf-8", newline="")
    assert all(fault.where and fault.what for fault in check_folder(tmp_path, {NAME: problem()}))


def test_folders_that_are_none(tmp_path):
    refused(lambda: check_folder(tmp_path / "gone"), f"no folder {tmp_path / 'gone'}", "a folder")
    refused(lambda: check_folder(tmp_path), f"no PDB file in {tmp_path}", "scaffold_info.csv")


def test_exports_that_are_refused(tmp_path):
    refused(lambda: export_motifbench(tmp_path, []), "no designs", "designs of one problem")
    made = designs(1)[0]
    named = MotifProblem("../x", made.layout.problem.parts, (40, 40))
    other = Design(named.sample_layout(0), made.xyz)
    refused(lambda: export_motifbench(tmp_path, [other]), "../x", "letters, digits", "otherwise")
    refused(
        lambda: export_insilico(tmp_path, [made, other]),
        "designs of ../x, 27_MADE",
        "one problem",
    )
    parts = tuple(
        Segment(tuple(Residue("A", r.number, "", "ALA", {"CA": r.atoms["CA"]}) for r in p.residues))
        if p.residues
        else p
        for p in made.layout.problem.parts
    )
    bare = MotifProblem("bare", parts, (40, 40)).sample_layout(0)
    error = refused(
        lambda: export_insilico(tmp_path, [Design(bare, made.xyz)]),
        "residues without N, C or O: A1, A2, A3, A4, A5, A6, A7, A1",
        "the whole backbone",
        "MotifBench",
    )
    assert "bare" in error.what
    assert not list(tmp_path.iterdir())
