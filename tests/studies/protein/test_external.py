import json

import pytest

from deft.errors import CommandFailed, InvalidInput
from deft.studies.protein.external import (
    PRESETS,
    Command,
    Folder,
    InverseFolder,
    fasta_records,
    mean_aligned_error,
)
from tests.metrics.protein.folds import helix
from tests.studies.protein.programs import program, write_pdb

PLACES = ("fasta", "out")


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_templates_with_their_places(name):
    kind = InverseFolder if name == "proteinmpnn" else Folder
    assert kind.of(name).command.template == PRESETS[name]


@pytest.mark.parametrize(
    "template", ["", "fold {fasta}", "fold {fasta} {out} {pdb}", "fold '{fasta} {out}", "fold {out"]
)
def test_templates_that_cannot_be_run(template):
    with pytest.raises(InvalidInput) as refused:
        Folder.of(template)
    assert refused.value.what == "folder"
    with pytest.raises(InvalidInput, match="minutes"):
        Folder.of("fold {fasta} {out}", minutes=0)


def test_no_shell_reads_the_values(tmp_path):
    script = program(tmp_path, "p.py", "import sys; open(sys.argv[2], 'w').write(sys.argv[1])")
    command = Command("folder", script + " {fasta} {out}", PLACES, PLACES)
    command.run({"fasta": "$(echo no); a b", "out": tmp_path / "said"})
    assert (tmp_path / "said").read_text() == "$(echo no); a b"


def test_a_program_that_is_not_there():
    with pytest.raises(CommandFailed, match=r"no-such-program.*a program that can be run"):
        Folder.of("no-such-program {fasta} {out}").command.run({"fasta": 1, "out": 2})


def test_a_program_that_fails(tmp_path):
    script = program(tmp_path, "p.py", "import sys; print('no GPU', file=sys.stderr); sys.exit(3)")
    with pytest.raises(CommandFailed, match=r"exit status 3.*no GPU") as failed:
        Folder.of(script + " {fasta} {out}").fold({"a": "AC"}, tmp_path)
    assert failed.value.same_call_goes_on


def test_a_program_that_does_not_end(tmp_path):
    script = program(tmp_path, "p.py", "import time; time.sleep(60)")
    with pytest.raises(CommandFailed, match="no end after"):
        Folder.of(script + " {fasta} {out}", minutes=0.01).fold({"a": "AC"}, tmp_path)


def test_structures_that_are_missing_are_named(tmp_path):
    text = "import sys, pathlib; pathlib.Path(sys.argv[2], 'a.pdb').write_text('x')"
    script = program(tmp_path, "p.py", text)
    with pytest.raises(CommandFailed, match="no structure of b, c"):
        Folder.of(script + " {fasta} {out}").fold({"a": "AC", "b": "AC", "c": "AC"}, tmp_path)


def test_files_of_colabfold_are_found(tmp_path):
    text = """
import sys, pathlib
out = pathlib.Path(sys.argv[2])
for name in ("a_1", "a_10"):
    (out / f"{name}_unrelaxed_rank_001_alphafold2_ptm_model_1_seed_000.pdb").write_text(name)
    (out / f"{name}_scores_rank_001_alphafold2_ptm_model_1_seed_000.json").write_text("{}")
"""
    folder = Folder.of(program(tmp_path, "p.py", text) + " {fasta} {out}")
    found = folder.fold({"a_1": "AC", "a_10": "AC"}, tmp_path)
    assert {name: pdb.read_text() for name, (pdb, _) in found.items()} == {
        "a_1": "a_1",
        "a_10": "a_10",
    }
    assert found["a_1"][1].name.startswith("a_1_scores")


@pytest.mark.parametrize(
    ("written", "given"), [("", "no sequence"), (">a\nACD\n", "a sequence of 3 residues")]
)
def test_sequences_of_another_length(tmp_path, written, given):
    pdb = write_pdb(tmp_path / "d.pdb", helix(5))
    text = f"import sys, pathlib; pathlib.Path(sys.argv[2], 'x.fasta').write_text({written!r})"
    designer = InverseFolder.of(program(tmp_path, "p.py", text) + " {pdb} {out}")
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(CommandFailed, match=given):
        designer.sequences(pdb, 5, (), 2, out)


def test_fasta():
    text = "junk\n>one, sample=1\nacd\nEF\n>two\nGG/HH\n>three\nAA:CC\n>empty\n"
    assert fasta_records(text) == [("one, sample=1", "ACDEF"), ("two", "GG"), ("three", "AA")]


def test_aligned_errors(tmp_path):
    path = tmp_path / "x.json"
    for content in ({"pae": [[1, 2], [3, 4]]}, [{"predicted_aligned_error": [[1, 2], [3, 4]]}]):
        path.write_text(json.dumps(content))
        assert mean_aligned_error(path) == 2.5
    path.write_text(json.dumps([[1, 2], [3, 4]]))
    assert mean_aligned_error(path) == 2.5
    for wrong in ({}, {"pae": [[1, 2]]}, {"pae": [["a"]]}, [], {"pae": "x"}):
        path.write_text(json.dumps(wrong))
        with pytest.raises(CommandFailed, match="no square table"):
            mean_aligned_error(path)
