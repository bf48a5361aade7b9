"""One figure of quality and coverage against evaluations, from what samplers.py kept.

    python benchmarks/studies/samplers_figure.py benchmarks/results/samplers \\
        --out docs/figures/few-steps-samplers.svg

A column for each task; CRPS and patch distance (lower is better) and the coverage of 90 %
intervals, whose grey band is two standard errors about that of DPM-Solver++ 2M with most steps.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from deft.reports.chart import Band, Series, as_file, line_chart

WIDTH, HEIGHT = 560, 300
FAMILIES = (
    "2M",
    "DDIM eta 1",
    "DDIM eta 1, time",
    "UniPC-2",
    "UniPC-2, learned grid",
    "3M",
    "2M eta 0.5",
    "conjugate",
)
MEASURES = {
    "crps": "CRPS",
    "patch_distance": "patch distance (x 10^3)",
    "coverage": "coverage of 90 % intervals",
}


def panel(name: str, kept: dict[str, Any], measure: str) -> str:
    """One chart."""
    series = []
    rows = sorted(kept["rows"].values(), key=lambda row: row["evaluations"])
    for colour, family in enumerate(FAMILIES):
        own = [row for row in rows if row["family"] == family and row["evaluations"] > 1]
        if own:
            x, y = [row["evaluations"] for row in own], [row[measure][0] for row in own]
            series.append(Series(family, x, y, colour=colour))
    most = max((row for row in rows if row["family"] == "2M"), key=lambda row: row["evaluations"])
    value, error = most[measure]
    ends = [min(min(one.x) for one in series), most["evaluations"]]
    band = Band(ends, [value - 2 * error] * 2, [value + 2 * error] * 2)
    room = Band(ends, [1.05, 1.05], [1.05, 1.05])  # for the legend
    return line_chart(
        series,
        "prior evaluations per sample",
        MEASURES[measure],
        log_x=True,
        title=f"{kept['prior']}, {name}",
        bands=[band, room] if measure == "coverage" else [],
    )


def main() -> None:
    """All panels."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    tables = [json.loads(file.read_text()) for file in sorted(args.results.glob("*.json"))]
    body, top = [], 24
    for column, kept in enumerate(tables):
        title = f"{kept['prior']}, {kept['problem']}"
        body.append(
            f'<text x="{(column + 0.5) * WIDTH}" y="17" text-anchor="middle" font-size="15" '
            f'font-weight="600" font-family="system-ui,sans-serif">{title}</text>'
        )
        for row, measure in enumerate(MEASURES):
            place = f'x="{column * WIDTH}" y="{top + row * HEIGHT}" width="{WIDTH}" '
            chart = panel(kept["problem"], kept, measure)
            body.append(chart.replace("<svg ", f'<svg {place}height="{HEIGHT}" ', 1))
    size = f"0 0 {WIDTH * len(tables)} {top + HEIGHT * len(MEASURES)}"
    white = '<rect width="100%" height="100%" fill="white"/>'
    args.out.write_text(as_file(f'<svg viewBox="{size}">{white}{"".join(body)}</svg>') + "\n")


if __name__ == "__main__":
    main()
