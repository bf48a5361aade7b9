"""Commands of the user's: a program that designs sequences for a backbone, and one that folds them.

A template is one line with places in braces, split as a shell would and run without one:

    inverse folder   {pdb} the design   {out} an empty folder   {fixed} residues that stay   {count}
    folder           {fasta} sequences  {out} an empty folder

The inverse folder leaves sequences in FASTA files anywhere under {out}; the folder one PDB file for
each sequence, whose name begins with the sequence's, with pLDDT as B-factors, and where it can
`NAME.pae.json` or `NAME_scores_rank_001*.json` with the predicted aligned errors. {fixed} is a JSON
file {name: {"A": [residues from 1]}}, as ProteinMPNN reads it. `PRESETS` are templates for programs
that others wrote; nothing of them is installed or downloaded here.
"""

from __future__ import annotations

import json
import shlex
import string
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from deft.checks import positive
from deft.errors import CommandFailed, InvalidInput
from deft.storage.bounded_json import parsed

_LAST = 400  # characters of what a failed command said

PRESETS: Mapping[str, str] = {
    "proteinmpnn": "python protein_mpnn_run.py --ca_only --pdb_path {pdb} --pdb_path_chains A "
    "--fixed_positions_jsonl {fixed} --num_seq_per_target {count} --sampling_temp 0.1 "
    "--batch_size 1 --seed 1 --out_folder {out}",
    "esmfold": "esm-fold -i {fasta} -o {out}",
    "colabfold": "colabfold_batch --msa-mode single_sequence --num-models 1 {fasta} {out}",
}
"""Templates by name; give the path of the script, where it has one, in a template of your own."""


@final
@dataclass(frozen=True)
class Command:
    """A template, and the places that it may use and those that it must.

    Raises `InvalidInput` for a place that there is none of, or that is missing.
    """

    what: str
    template: str
    places: tuple[str, ...]
    needed: tuple[str, ...]
    minutes: float = 60.0

    def __post_init__(self) -> None:
        positive(f"{self.what}: minutes", self.minutes, "how long one call may take")
        try:
            used = {name for _, name, _, _ in string.Formatter().parse(self.template) if name}
            parts = shlex.split(self.template)
        except ValueError as error:
            raise InvalidInput(
                self.what,
                given=self.template,
                expected=f"one line that a shell could split: {error}",
            ) from error
        missing = [place for place in self.needed if place not in used]
        if missing or not used <= set(self.places) or not parts:
            raise InvalidInput(
                self.what,
                given=self.template or "an empty line",
                expected=f"a command with {_braced(self.needed)}"
                f", and of other places none but {_braced(self.places)}",
            )

    def run(self, values: Mapping[str, object]) -> None:
        """Run it with these values. Raises `CommandFailed` where there is no such program, where it
        takes too long, or where its exit status is not 0, with the last of what it said.
        """
        words = [part.format(**values) for part in shlex.split(self.template)]
        try:
            done = subprocess.run(
                words,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=60 * self.minutes,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except (FileNotFoundError, PermissionError, NotADirectoryError) as error:
            raise CommandFailed(
                self.what,
                given=words[0],
                expected="a program that can be run",
                advice="give its whole path, or put it on PATH",
            ) from error
        except subprocess.TimeoutExpired as error:
            raise CommandFailed(
                self.what,
                given=f"no end after {self.minutes:g} minutes of {words[0]}",
                expected="one call that ends",
                advice="give it more minutes",
            ) from error
        if done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip())[-_LAST:]
            raise CommandFailed(
                self.what,
                given=f"exit status {done.returncode} of {words[0]}",
                expected="0",
                advice=f"it said: {said}" if said else "it said nothing",
            )


@final
@dataclass(frozen=True)
class InverseFolder:
    """Sequences for a backbone, by a command."""

    command: Command

    @classmethod
    def of(cls, template: str, minutes: float = 60.0) -> InverseFolder:
        """By a template, or the name of a preset."""
        places = ("pdb", "out", "fixed", "count")
        line = PRESETS.get(template, template)
        return cls(Command("inverse folder", line, places, ("pdb", "out"), minutes))

    def sequences(
        self, pdb: Path, length: int, fixed: Sequence[int], count: int, out: Path
    ) -> list[str]:
        """At most `count` sequences for the design in `pdb`; residues `fixed`, from 0, keep the
        names that they have there. Records whose header says "sample=" are the sequences where
        there are such, for ProteinMPNN writes the input first. Raises `CommandFailed` where none
        were left, or of another length.
        """
        file = out / "fixed.jsonl"
        file.write_text(json.dumps({pdb.stem: {"A": [i + 1 for i in fixed]}}) + "\n")
        self.command.run({"pdb": pdb, "out": out, "fixed": file, "count": count})
        records = [
            record
            for path in sorted([*out.rglob("*.fa"), *out.rglob("*.fasta")])
            for record in fasta_records(path.read_text(errors="replace"))
        ]
        samples = [record for record in records if "sample=" in record[0]] or records
        found = [sequence for _, sequence in samples][:count]
        wrong = [sequence for sequence in found if len(sequence) != length]
        if not found or wrong:
            raise CommandFailed(
                "inverse folder",
                given=f"a sequence of {len(wrong[0])} residues" if wrong else "no sequence",
                expected=f"FASTA files under {out} with sequences of {length} residues",
            )
        return found


@final
@dataclass(frozen=True)
class Folder:
    """Structures of sequences, by a command."""

    command: Command

    @classmethod
    def of(cls, template: str, minutes: float = 60.0) -> Folder:
        """By a template, or the name of a preset."""
        line = PRESETS.get(template, template)
        return cls(Command("folder", line, ("fasta", "out"), ("fasta", "out"), minutes))

    def fold(self, sequences: Mapping[str, str], out: Path) -> dict[str, tuple[Path, Path | None]]:
        """The PDB file of each named sequence, and the file of its aligned errors where there is
        one. Raises `CommandFailed` with the names of those that are missing.
        """
        fasta = out / "sequences.fasta"
        fasta.write_text("".join(f">{name}\n{text}\n" for name, text in sequences.items()))
        self.command.run({"fasta": fasta, "out": out})
        found: dict[str, tuple[Path, Path | None]] = {}
        for name in sequences:
            pdb = _first(
                out, f"{name}.pdb", f"{name}_relaxed_rank_001*.pdb", f"{name}_*rank_001*.pdb"
            )
            pae = _first(out, f"{name}.pae.json", f"{name}_scores_rank_001*.json")
            if pdb is not None:
                found[name] = (pdb, pae)
        missing = [name for name in sequences if name not in found]
        if missing:
            raise CommandFailed(
                "folder",
                given=f"no structure of {', '.join(missing[:5])}",
                expected=f"one PDB file for each sequence under {out}, NAME.pdb",
            )
        return found


def fasta_records(text: str) -> list[tuple[str, str]]:
    """Headers and sequences of a FASTA text; of chains joined by / or : the first."""
    found: list[tuple[str, str]] = []
    for line in text.splitlines():
        if line.startswith(">"):
            found.append((line[1:].strip(), ""))
        elif found:
            found[-1] = (found[-1][0], found[-1][1] + line.strip().upper())
    return [(head, body.replace(":", "/").split("/")[0]) for head, body in found if body]


def mean_aligned_error(path: Path) -> float:
    """The mean predicted aligned error in a JSON file: a square table, or one under `pae` or
    `predicted_aligned_error`. Raises `CommandFailed` for anything else.
    """
    content = parsed(path.read_bytes(), str(path))
    content = content[0] if isinstance(content, list) and len(content) == 1 else content
    if isinstance(content, dict):
        content = content.get("pae", content.get("predicted_aligned_error"))
    rows = content if isinstance(content, list) else []
    flat = [value for row in rows if isinstance(row, list) for value in row]
    if not flat or len(flat) != len(rows) ** 2 or not all(_is_number(value) for value in flat):
        raise CommandFailed(
            str(path), given="no square table of numbers", expected="aligned errors under `pae`"
        )
    return float(sum(flat)) / len(flat)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _first(folder: Path, *patterns: str) -> Path | None:
    for pattern in patterns:
        for path in sorted(folder.rglob(pattern)):
            return path
    return None


def _braced(names: Sequence[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in names)
