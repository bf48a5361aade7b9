"""Draws scaffold-design.svg: a design around an invented motif, as `deft scaffold` shows it.

    python docs/figures/scaffold_design.py --h h-backbone-128-motif

The motif is an ideal helix of 14 residues, 12 to 40 residues on both sides; the best of six designs
is drawn from the front, from the side, and by its contacts.
"""

from __future__ import annotations

import argparse
import math
import re
from pathlib import Path

import deft
from deft.data.proteins import MotifProblem, Residue, Scaffold, Segment
from deft.pipeline.scaffolds import Scaffolds
from deft.reports.protein.drawing import contact_map, two_sides

SIDE, GAP = 200, 16


def motif(residues: int = 14) -> MotifProblem:
    """2.3 angstrom wide, 1.5 up and 100 degrees around for each residue."""
    turns = [math.radians(100 * i) for i in range(residues)]
    places = [(2.3 * math.cos(a), 2.3 * math.sin(a), 1.5 * i) for i, a in enumerate(turns)]
    helix = tuple(Residue("A", 1 + i, "", "ALA", {"CA": at}) for i, at in enumerate(places))
    return MotifProblem("helix", (Scaffold(12, 40), Segment(helix), Scaffold(12, 40)), (60, 75))


def sheet(found: Scaffolds) -> str:
    """The best design, three pictures in a row."""
    best = found.best.designs[0]
    held = best.layout.index.tolist()
    pictures = [*two_sides(best.xyz, held), contact_map(best.xyz, held)]
    width = 3 * SIDE + 2 * GAP
    placed = [
        re.sub(
            "<svg ", f'<svg x="{k * (SIDE + GAP)}" width="{SIDE}" height="{SIDE}" ', one, count=1
        )
        for k, one in enumerate(pictures)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {SIDE}" width="{width}" '
        f'height="{SIDE}">{"".join(placed)}</svg>\n'
    )


def main() -> None:
    """Draw, and say what is measured of the design."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--h", default="h-backbone-128-motif")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "scaffold-design.svg")
    args = parser.parse_args()
    found = deft.scaffold(deft.load(args.h), motif(), 6)
    args.out.write_text(sheet(found))
    print(found.best.designs[0].layout.contig, found.best.measures[0])


if __name__ == "__main__":
    main()
