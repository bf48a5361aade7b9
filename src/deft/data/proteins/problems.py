"""Motif problems from files, whatever they are written in.

problem PDB     of Genie 2 (REMARK 999) or of MotifBench (REMARK 1 to 3)      one problem
benchmark.csv   target, contig, length, motif_path                           one for each row
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from deft.data.proteins.contig import from_contig
from deft.data.proteins.genie2 import from_genie2, is_genie2
from deft.data.proteins.motifbench import from_motifbench, is_motifbench
from deft.data.proteins.problem import MotifProblem
from deft.data.proteins.structure import read_structure, read_text
from deft.errors import InvalidInput

_ENDINGS = (".pdb", ".ent")
_COLUMNS = ("target", "contig", "motif_path")


def read_problem(path: str | Path) -> MotifProblem:
    """The problem of a file that says its own. Raises `InvalidInput` for any other."""
    return problem_of(read_text(path), str(path), Path(path).stem)


def problem_of(text: str, source: str, stem: str | None = None) -> MotifProblem:
    """The problem that a text describes; `source` names it in errors, `stem` is the name of a
    problem of MotifBench, whose numbers stand in file names alone.
    """
    if is_genie2(text):
        return from_genie2(text, source)
    if is_motifbench(text):
        return from_motifbench(text, source, stem)
    raise InvalidInput(
        source,
        given="a file without a problem in its header" if text.strip() else "an empty file",
        expected="REMARK 999 INPUT lines (Genie 2), or the REMARK lines of MotifBench",
        advice="of any other structure, say the motif by a contig: --pdb FILE --contig "
        "10-40/A163-181/10-40",
    )


def read_problems(path: str | Path) -> list[MotifProblem]:
    """The problems of a benchmark.csv, or of a folder of problem files (.pdb, .ent), or the one of
    a file, in order. Raises `InvalidInput` where there is none.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in _ENDINGS)
        if not files:
            given = f"no {' or '.join(_ENDINGS)} file"
            raise InvalidInput(str(path), given=given, expected="a folder of problems")
        return [read_problem(file) for file in files]
    if path.suffix.lower() == ".csv":
        return from_benchmark(read_text(path), path)
    return [read_problem(path)]


def from_benchmark(text: str, path: Path) -> list[MotifProblem]:
    """The problems of the rows of a benchmark.csv.

    A structure is looked for at `motif_path`, beside the csv file at that path, and beside it by
    its name alone. Raises `InvalidInput` for a row that cannot be read, with its number.
    """
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = list(rows.fieldnames or ())
        read = list(rows)
    except csv.Error as error:
        given = f"what is no table: {error}"
        raise InvalidInput(str(path), given=given, expected=_table()) from error
    if missing := [name for name in _COLUMNS if name not in columns]:
        given = f"no column {', '.join(missing)}"
        raise InvalidInput(f"the columns of {path}", given=given, expected=_table())
    if not read:
        raise InvalidInput(str(path), given="no rows", expected=_table())
    problems = []
    for number, row in enumerate(read, start=2):
        name, contig, motif, length = (
            (row.get(column) or "").strip() for column in (*_COLUMNS, "length")
        )
        try:
            structure = read_structure(_beside(path, motif))
            problems.append(from_contig(contig, structure, length or None, name))
        except InvalidInput as error:
            raise InvalidInput(
                f"row {number} of {path} ({name}): {error.what}",
                given=error.given,
                expected=error.expected,
                advice=error.advice,
            ) from error
    return problems


def _beside(path: Path, motif: str) -> Path:
    """Where the structure of a row is."""
    name = Path(motif)
    places = [name, path.parent / name, path.parent / name.name]
    try:
        return next((place for place in places if motif and place.is_file()), places[-1])
    except (OSError, ValueError):
        return places[-1]


def _table() -> str:
    return f"a table with the columns {', '.join(_COLUMNS)} and length"
