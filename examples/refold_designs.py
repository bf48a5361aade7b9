"""How many motifs are solved, by your own ProteinMPNN and ESMFold: the figure of the DEFT paper.

    python examples/refold_designs.py genie-designs design25 --sequences 8 \\
        --inverse_folder "python ProteinMPNN/protein_mpnn_run.py --ca_only --pdb_path {pdb} ..."

`genie-designs` is what `deft scaffold --problem design25 -n 100 --out genie-designs` left, for one
problem or for several, `design25` the same problem files. Each design gets sequences, which keep
the residues of the motif, and each sequence is folded. A design is a success where one of them has
scRMSD < 2 and motif RMSD < 1 angstrom, pLDDT > 70, and a mean aligned error < 5 where the folder
says one; a problem is solved where it has one success (Denker et al. 2024, arXiv:2406.01781, 100
designs for each). Nothing is installed here; both programs are command lines of yours
(deft.studies.protein.external). What is folded is kept in `--out`, and the same command goes on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from deft.data.proteins import Layout, MotifProblem, read_problems
from deft.studies.protein import DesignMotif, Folder, InverseFolder, refold


def layout_of(problem: MotifProblem, contig: str) -> Layout:
    """The layout of a design, whose contig says how long each scaffold is."""
    words = zip(problem.parts, contig.split("/"), strict=True)
    lengths = [part.low if part.residues else int(word.split("-")[0]) for part, word in words]
    return Layout(problem, tuple(lengths))


def motif_of(layout: Layout) -> DesignMotif:
    """Which residues of the design hold the motif, and its coordinates."""
    problem = layout.problem
    places = tuple(tuple(row) for row in problem.trace.tolist())
    return DesignMotif(tuple(layout.index.tolist()), tuple(problem.group.tolist()), places)


def main(
    designs: str,
    problem: str,
    inverse_folder: str = "proteinmpnn",
    folder: str = "esmfold",
    sequences: int = 8,
    out: str = "refolded",
) -> dict[str, tuple[int, int]]:
    """Successes and designs, by problem."""
    programs = InverseFolder.of(inverse_folder), Folder.of(folder)
    known = {one.name: one for one in read_problems(problem)}
    found: dict[str, tuple[int, int]] = {}
    for card in sorted(Path(designs).rglob("designs.json")):
        said = json.loads(card.read_text())
        name, successes = said["problem"]["name"], 0
        for one in said["designs"]:
            motif = motif_of(layout_of(known[name], one["contig"]))
            folded = refold(
                card.parent / one["file"], Path(out) / name, *programs, motif, count=sequences
            )
            successes += any(sequence.success() for sequence in folded)
        found[name] = (successes, len(said["designs"]))
        print(f"{name}: {successes} of {len(said['designs'])} designs")
    print(f"{sum(count > 0 for count, _ in found.values())} of {len(found)} problems solved")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("designs", help="what deft scaffold left, PDB files")
    parser.add_argument("problem", help="the motif problems: a file or a folder")
    parser.add_argument("--inverse_folder", default="proteinmpnn")
    parser.add_argument("--folder", default="esmfold")
    parser.add_argument("--sequences", type=int, default=8)
    parser.add_argument("--out", default="refolded")
    main(**vars(parser.parse_args()))
