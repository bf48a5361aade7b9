import pytest
import torch

from deft.errors import CommandFailed, InvalidInput
from deft.metrics.protein import rmsd
from deft.studies.protein import DesignMotif, Folder, InverseFolder, Refolded, refold
from deft.studies.protein.refolding import read_trace
from tests.metrics.protein.folds import bundle, moved
from tests.studies.protein.programs import DESIGN, FOLD, program, write_pdb

MOTIF = (4, 5, 6, 7)


@pytest.fixture
def design(tmp_path):
    names = ["TRP" if i in MOTIF else "GLY" for i in range(55)]
    return write_pdb(tmp_path / "design_0.pdb", bundle(), names)


@pytest.fixture
def programs(tmp_path, design):
    one = program(tmp_path, "design.py", DESIGN) + " {pdb} {out} {fixed} {count}"
    two = program(tmp_path, "fold.py", FOLD) + f" {design} {{fasta}} {{out}}"
    return InverseFolder.of(one), Folder.of(two)


def motif():
    place = moved(bundle()[list(MOTIF)], 3)
    return DesignMotif(MOTIF, (0, 0, 0, 0), tuple(tuple(row) for row in place.tolist()))


def test_sequences_are_folded_and_compared(tmp_path, design, programs):
    found = refold(design, tmp_path / "out", *programs, motif(), count=2)
    assert [one.sequence[0] for one in found] == ["A", "C"]  # the nearest first
    good, bad = found
    assert good.sequence[4:8] == "WWWW"  # the motif keeps its residues
    assert good.sc_rmsd < 1e-2
    assert good.lddt == 1.0
    assert good.motif_rmsd < 1e-2
    assert (good.plddt, good.aligned_error) == (90.0, 1.0)
    assert good.success()
    x = bundle()
    bent = torch.stack([x[:, 1], -x[:, 0], x[:, 2]], 1)
    bent[1::2, 0] += 4.0
    assert bad.sc_rmsd == pytest.approx(rmsd(bent[None], x[None]).item(), abs=0.01)
    assert (bad.plddt, bad.aligned_error) == (50.0, 5.0)
    assert bad.motif_rmsd > 1
    assert not bad.success()


def test_a_result_is_kept_until_something_changes(tmp_path, design, programs):
    out = tmp_path / "out"

    def calls():
        return (out / "design_0" / "calls").read_text().count("design")

    first = refold(design, out, *programs, count=2)
    assert first[0].motif_rmsd is None
    assert refold(design, out, *programs, count=2) == first
    assert calls() == 1
    refold(design, out, *programs, motif(), count=2)
    refold(design, out, *programs, motif(), count=1)
    assert calls() == 3
    write_pdb(design, bundle() + 1.0)
    refold(design, out, *programs, motif(), count=1)
    assert calls() == 4


def test_a_motif_of_single_residues_has_no_rmsd(tmp_path, design, programs):
    single = DesignMotif((4, 30), (0, 1), ((0.0, 0.0, 0.0), (9.0, 0.0, 0.0)))
    pair = DesignMotif((4, 5, 30), (0, 0, 1), ((0.0, 0.0, 0.0), (3.8, 0.0, 0.0), (9.0, 0.0, 0.0)))
    first = refold(design, tmp_path / "out", *programs, single, count=1)
    assert first[0].motif_rmsd is None
    assert refold(design, tmp_path / "out", *programs, single, count=1) == first  # as it is kept
    found = refold(design, tmp_path / "out", *programs, pair, count=1)[0]
    assert found.motif_rmsd == pytest.approx(0.0, abs=1e-2)


def test_nothing_is_kept_of_a_failure(tmp_path, design, programs):
    broken = Folder.of(program(tmp_path, "b.py", "raise SystemExit(2)") + " {fasta} {out}")
    with pytest.raises(CommandFailed, match="exit status 2"):
        refold(design, tmp_path / "out", programs[0], broken, count=1)
    assert not (tmp_path / "out" / "design_0" / "result.json").exists()
    assert len(refold(design, tmp_path / "out", *programs, count=1)) == 1


def test_a_structure_of_another_length(tmp_path, design, programs):
    short = write_pdb(tmp_path / "short.pdb", bundle()[:50])
    fold = Folder.of(program(tmp_path, "fold.py", FOLD) + f" {short} {{fasta}} {{out}}")
    with pytest.raises(CommandFailed, match="50 residues"):
        refold(design, tmp_path / "out", programs[0], fold, count=1)


def test_confidence_from_0_to_1(tmp_path, design, programs):
    text = FOLD.replace("90 - 10 * away", "0.85")
    fold = Folder.of(program(tmp_path, "fold.py", text) + f" {design} {{fasta}} {{out}}")
    assert refold(design, tmp_path / "out", programs[0], fold, count=1)[0].plddt == 85.0


def test_what_was_not_measured_is_not_asked():
    one = Refolded("AC", 1.9, 0.9, None, 71.0, None)
    assert one.success()
    assert not one.success(sc_rmsd=1.5)
    assert not Refolded("AC", 1.0, 0.9, 1.0, 90.0, None).success()
    assert not Refolded("AC", 1.0, 0.9, 0.5, 90.0, 5.0).success()


def test_traces_of_pdb_files(tmp_path):
    path = write_pdb(tmp_path / "x.pdb", bundle())
    text = path.read_text().replace("END\n", "")
    other = text.splitlines()[0].replace(" A ", " B ")
    path.write_text(text + other + "\nENDMDL\n" + text)
    x, factors = read_trace(path)
    torch.testing.assert_close(x, bundle(), atol=1e-3, rtol=0)
    assert factors.tolist() == [0.0] * 55
    with pytest.raises(InvalidInput, match="no file"):
        read_trace(tmp_path / "nowhere.pdb")
    path.write_bytes(b"\x00\xff binary")
    with pytest.raises(InvalidInput, match="no C-alpha atoms"):
        read_trace(path)
    path.write_text(text.replace("  1.00  0.00", "  1.00   abc", 1))
    with pytest.raises(InvalidInput, match="coordinates in columns"):
        read_trace(path)


def test_hetero_residues_and_blank_b_factors(tmp_path):
    path = write_pdb(tmp_path / "x.pdb", bundle()[:12])
    lines = path.read_text().splitlines()
    lines[3] = lines[3].replace("ATOM  ", "HETATM").replace("GLY", "MSE")
    lines[5] = lines[5][:60] + "      " + lines[5][66:]
    lines[7] = lines[7][:54]
    calcium = lines[2].replace("ATOM  ", "HETATM").replace(" CA  GLY A   3", "CA    CA A  99")
    path.write_text("\n".join([*lines[:-1], calcium, "END"]) + "\n")
    x, factors = read_trace(path)
    torch.testing.assert_close(x, bundle()[:12], atol=1e-3, rtol=0)
    assert factors.tolist() == [0.0] * 12
