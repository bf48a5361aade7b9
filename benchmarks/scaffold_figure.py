"""Designs of every method for one problem, from two sides, as one SVG picture.

    python benchmarks/scaffold_figure.py benchmarks/protein.yaml --run runs/scaffold \\
        --motifs FOLDER --problem 6exz_short --out scaffold.svg

reads the designs that benchmarks/scaffold.py kept: of each method the first design, not the best
one. The motif has a colour of its own; what is nearer is darker and thicker.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import scaffold_setting as setting
import yaml

from deft.reports.protein.drawing import two_sides
from deft.storage.atomic import atomic

SIZE, TOP, GAP = 200, 26, 12
TITLES = {
    "unconditional": "unconditional",
    "replacement": "replacement",
    "DPS": "DPS",
    "guidance": "reconstruction guidance",
    "DEFT-9": "DEFT-9 %",
    "DEFT-9,weighted": "DEFT-9 %, weighted",
    "amortised": "amortised",
    "TDS": "TDS (whole noise)",
}
"""What is drawn, in this order, by the names of the files."""
INK = "var(--ink,#1f2933)"


def figure(columns: list[tuple[str, tuple[str, str]]]) -> str:
    """Titles above pairs of pictures, side by side."""
    width = len(columns) * (SIZE + GAP) - GAP
    parts = []
    for i, (title, pictures) in enumerate(columns):
        x = i * (SIZE + GAP)
        parts.append(
            f'<text x="{x + SIZE / 2}" y="16" text-anchor="middle" fill="{INK}" '
            f'font-family="system-ui,sans-serif" font-size="14">{title}</text>'
        )
        for row, picture in enumerate(pictures):
            place = f'<svg x="{x}" y="{TOP + row * (SIZE + GAP)}" width="{SIZE}" height="{SIZE}" '
            parts.append(picture.replace("<svg ", place, 1))
    height = TOP + 2 * SIZE + GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="designs from two sides">{"".join(parts)}</svg>'
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path)
    parser.add_argument("--run", type=Path, required=True, help="--out of benchmarks/scaffold.py")
    parser.add_argument("--motifs", type=Path, required=True, help="folder of motif files")
    parser.add_argument("--problem", required=True)
    parser.add_argument("--design", type=int, default=0, help="which one, from 0")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    said, columns = yaml.safe_load(args.config.read_text())["benchmark"], []
    path = next(args.motifs.rglob(f"genie2_*/{args.problem}.pdb"))
    problem = setting.of_file(path, said["designs"], tuple(said["lengths"]))
    motif = problem.layouts[args.design].index.tolist()
    folder = args.run / "benchmark" / args.problem
    for name, title in TITLES.items():
        if not (file := folder / f"{name}-0.npz").exists():
            continue
        with np.load(file, allow_pickle=False) as kept:
            xyz = kept["x"][args.design][kept["mask"][args.design]].astype(np.float64)
        columns.append((title, two_sides(xyz, motif)))
    with atomic(args.out) as out:
        out.write((figure(columns) + "\n").encode())


if __name__ == "__main__":
    main()
