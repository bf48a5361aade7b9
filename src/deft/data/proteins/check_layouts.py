"""What is wrong with folders in the layouts of MotifBench and of the in-silico design pipeline."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from itertools import islice, permutations
from pathlib import Path

import numpy as np
import torch

from deft.data.proteins.design import standard_name
from deft.data.proteins.export import COLUMNS
from deft.data.proteins.faults import Fault, check_file, read_lines
from deft.data.proteins.pdb_lines import Lines
from deft.data.proteins.problem import MotifProblem
from deft.data.proteins.structure import BACKBONE, read_text
from deft.errors import InvalidInput
from deft.geometry import superposed

DESIGNS = 100  # that MotifBench asks for
NEAR = 1.0  # angstrom: a motif is where its placement says
Pairs = dict[int, list[tuple[object, object]]]
_MISSED = "the design misses its motif"
_ORDERS = 720  # of segments that are tried


def motifbench(folder: Path, problem: MotifProblem | None) -> list[Fault]:
    """The faults of the folder of one problem of MotifBench."""
    name, faults = folder.name, []
    files = {path.stem: path for path in sorted(folder.glob("*.pdb"))}
    if not re.fullmatch(r"(\d+_)?[A-Za-z0-9]+", name, re.ASCII):
        faults.append(
            Fault(name, "a name that MotifBench cannot take apart", "name it as 01_1LDB is")
        )
    rows, found = _rows(folder)
    faults += found
    for number in rows:
        if f"{name}_{number}" not in files:
            faults.append(Fault(name, f"no file {name}_{number}.pdb", "it is in scaffold_info.csv"))
    for stem, path in files.items():
        number = stem.removeprefix(f"{name}_")
        if number == stem or not number.isdigit():
            faults.append(Fault(path.name, "a name of another kind", f"name it {name}_0.pdb, ..."))
        elif number not in rows:
            faults.append(Fault(path.name, "no row in scaffold_info.csv", "add its placement"))
        faults += check_file(path)
        if number in rows:
            faults += _placed(path, rows[number], problem)
    if len(files) != DESIGNS:
        faults.append(
            Fault(name, f"{len(files)} designs", f"MotifBench asks for {DESIGNS} of each problem")
        )
    return faults


def _rows(folder: Path) -> tuple[dict[str, str], list[Fault]]:
    """The placements of scaffold_info.csv, by the number of the sample."""
    name, faults = f"{folder.name}/scaffold_info.csv", []
    try:
        table = list(csv.DictReader(io.StringIO(read_text(folder / "scaffold_info.csv"))))
    except (csv.Error, InvalidInput) as error:
        return {}, [Fault(name, f"what is no table ({error})", f"columns {', '.join(COLUMNS)}")]
    rows: dict[str, str] = {}
    for k, row in enumerate(table):
        if any(not isinstance(row.get(column), str) for column in COLUMNS):
            found = ", ".join(str(column) for column in row)
            return {}, [Fault(name, f"the columns {found}", f"write {', '.join(COLUMNS)}")]
        number = row[COLUMNS[0]].strip()
        if number != str(k):
            faults.append(Fault(name, f"sample_num {number} in row {k + 1}", "count from 0"))
        if number in rows:
            faults.append(Fault(name, f"sample_num {number} twice", "one row for each sample"))
        rows[number] = row[COLUMNS[1]].strip()
    return rows, faults


def placement_of(text: str) -> list[int | str] | None:
    """A placement, 38/A/43/B/46, as numbers and letters; None for what is none."""
    words = text.strip().split("/")
    if not all(re.fullmatch(r"\d{1,5}|[A-Za-z]+", word, re.ASCII) for word in words):
        return None
    return [int(word) if word.isdigit() else word for word in words]


def _placed(path: Path, text: str, problem: MotifProblem | None) -> Iterator[Fault]:
    """Whether a design has its motif where its placement says."""
    words, name = placement_of(text), path.name
    letters = [word for word in words or () if isinstance(word, str)]
    if words is None or not letters or len(set(letters)) < len(letters):
        yield Fault(name, f"the placement {text}", "write lengths and segments: 38/A/43/B/46")
        return
    lines, _ = read_lines(path)
    if problem is None or lines is None:
        return
    if set(letters) != set(problem.labels):
        wanted = ", ".join(problem.labels)
        yield Fault(name, f"the placement {text}", f"each segment once: {wanted}")
        return
    size = {label: part.low for label, part in zip(problem.labels, problem.segments, strict=True)}
    total = sum(word if isinstance(word, int) else size[word] for word in words)
    length, trace = len(lines.numbers), lines.trace
    if total != length:
        yield Fault(name, f"{length} residues, and the placement {text} has {total}", "mend either")
        return
    low, high = problem.possible
    if not low <= length <= high:
        yield Fault(
            name,
            f"{length} residues",
            f"{problem.name} asks for {low if low == high else f'{low} to {high}'}",
        )
    if all(k in trace for k in range(1, length + 1)):
        yield from _motif_there(name, words, lines, problem)


def _motif_there(
    name: str, words: list[int | str], lines: Lines, problem: MotifProblem
) -> Iterator[Fault]:
    trace = lines.trace
    own = {
        label: segment.residues
        for label, segment in zip(problem.labels, problem.segments, strict=True)
    }
    apart = _rmsd(words, lines, problem)
    if apart > NEAR:
        letters = [word for word in words if isinstance(word, str)]
        for order in islice(permutations(letters), _ORDERS):
            turn = iter(order)
            other = [word if isinstance(word, int) else next(turn) for word in words]
            if _rmsd(other, lines, problem) <= NEAR:
                advice = f"its segments are in the order {'/'.join(map(str, other))}"
                break
        else:
            advice = f"look at the placement: lengths, and the order of segments; or {_MISSED}"
        yield Fault(name, f"the motif {apart:.1f} angstrom from where it is placed", advice)
        return
    place = 1
    for word in words:
        if isinstance(word, int):
            place += word
            continue
        for residue in own[word]:
            if residue.name.strip() != "UNK" and trace[place][0] != standard_name(residue.name):
                wanted = standard_name(residue.name)
                yield Fault(
                    name, f"residue {place} is {trace[place][0]}", f"the motif has {wanted}"
                )
                return
            place += 1


def _rmsd(words: list[int | str], lines: Lines, problem: MotifProblem) -> float:
    """How far the motif is from where a placement says, each group by itself; the largest."""
    trace, place = lines.trace, 1
    pairs: Pairs = {}
    parts = dict(zip(problem.labels, problem.segments, strict=True))
    for word in words:
        if isinstance(word, int):
            place += word
            continue
        for residue in parts[word].residues:
            pairs.setdefault(parts[word].group, []).append((trace[place][1], residue.atoms["CA"]))
            place += 1
    return _worst(pairs)


def _worst(pairs: Pairs) -> float:
    """The largest RMSD of a group, of places in a design and in the motif."""
    worst = 0.0
    for points in pairs.values():
        design, motif = (
            torch.from_numpy(np.array(side, np.float64)) for side in zip(*points, strict=True)
        )
        left = superposed(motif, design) - design
        worst = max(worst, float(left.square().sum(1).mean().sqrt()))
    return worst


def insilico(folder: Path, problem: MotifProblem | None = None) -> list[Fault]:
    """The faults of a folder as the in-silico design pipeline takes it."""
    faults: list[Fault] = []
    pairs = {
        part: {path.stem: path for path in sorted((folder / part).glob("*.pdb"))}
        for part in ("pdbs", "motif_pdbs")
    }
    for part, other in (("pdbs", "motif_pdbs"), ("motif_pdbs", "pdbs")):
        missing = [stem for stem in pairs[part] if stem not in pairs[other]]
        if missing or not pairs[part]:
            shown = f"no {missing[0]}.pdb in {other}" if missing else f"no .pdb file in {part}"
            faults.append(Fault(folder.name, shown, "both folders have files of the same names"))
    for stem, path in pairs["pdbs"].items():
        if "." in stem:
            faults.append(Fault(path.name, "a dot in its name", "the pipeline cuts names there"))
        faults += check_file(path)
        faults += _bare(path)
        if stem in pairs["motif_pdbs"]:
            found = list(_motif_file(pairs["motif_pdbs"][stem], path))
            faults += found
            if problem is not None and not found:
                faults += _numbered(pairs["motif_pdbs"][stem], path, problem)
    return faults


def _numbered(path: Path, design: Path, problem: MotifProblem) -> Iterator[Fault]:
    """Whether the motif of the problem is in a design where the file of its motif says."""
    motif, whole = read_lines(path)[0], read_lines(design)[0]
    if motif is None or whole is None:
        return
    where = f"{path.parent.name}/{path.name}"
    if len(motif.trace) != len(problem.residues):
        shown = f"{len(motif.trace)} residues, and the motif has {len(problem.residues)}"
        yield Fault(where, shown, f"write the motif of {problem.name}")
        return
    pairs: Pairs = {}
    for number, residue, group in zip(
        motif.trace, problem.residues, problem.group.tolist(), strict=True
    ):
        pairs.setdefault(group, []).append((whole.trace[number][1], residue.atoms["CA"]))
    apart = _worst(pairs)
    if apart > NEAR:
        yield Fault(design.name, f"the motif {apart:.1f} angstrom from where {where} says", _MISSED)


def _bare(path: Path) -> list[Fault]:
    """Whether a file has anything but ATOM lines."""
    lines, faults = read_lines(path)
    if lines is None or not lines.others:
        return faults
    shown = ", ".join(dict.fromkeys(lines.others))
    where = f"{path.parent.name}/{path.name}"
    return [*faults, Fault(where, f"records beside ATOM: {shown}", "leave them out")]


def _motif_file(path: Path, design: Path) -> Iterator[Fault]:
    """Whether the motif of a design has the numbers of its residues, and a whole backbone."""
    where = f"{path.parent.name}/{path.name}"
    yield from _bare(path)
    motif, whole = read_lines(path)[0], read_lines(design)[0]
    if motif is None or whole is None:
        return
    if not motif.atoms:
        yield Fault(where, "no ATOM line", "write the motif again")
        return
    numbers = [n for n in motif.numbers if n is not None]
    beyond = [n for n in numbers if n not in whole.trace]
    if beyond or numbers != sorted(set(numbers)):
        shown = f"residue {beyond[0]}, which the design has not" if beyond else "another order"
        yield Fault(where, shown, "number the motif as the design, from its start to its end")
        return
    for number in numbers:
        names = {line.atom for line in motif.atoms if line.number == number}
        if missing := [atom for atom in BACKBONE if atom not in names]:
            yield Fault(
                where,
                f"residue {number} without {', '.join(missing)}",
                "the pipeline compares the whole backbone of the motif",
            )
            return
    for number, (name, _) in motif.trace.items():
        if whole.trace[number][0] not in (name, "GLY"):
            yield Fault(
                where, f"residue {number} is {name}, and {whole.trace[number][0]} in the design",
                "write one name in both",
            )  # fmt: skip
            return
