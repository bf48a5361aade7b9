"""The measures of designs as a table, best first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from deft.reports.table import Cell, Table
from deft.studies.protein.ranked import DESIGN_MEASURES
from deft.studies.scores import Measure

_PRINTED = {
    "faults": "faults",
    "motif_rmsd": "motif Å",
    "junction_bonds": "junctions",
    "bonds": "bonds",
    "clashes": "clashes",
    "helix": "helix",
    "strand": "strand",
    "radius_ratio": "radius",
    "entropy": "entropy",
    "cross_likelihood": "cross",
}
_SHOWN = 20

Rows = Sequence[tuple[str, Mapping[str, float]]]
"""Names and measures of designs, best first."""


def designs_table(rows: Rows) -> Table:
    """Every measure of every design, and their means."""
    measures = known(rows)
    shown = [
        (name, str(place), [_cell(measure, row.get(measure.key)) for measure in measures])
        for place, (name, row) in enumerate(rows, start=1)
    ]
    mean = [_cell(measure, mean_of(rows, measure.key)) for measure in measures]
    columns = [(measure.title, measure.unit) for measure in measures]
    return Table(columns, [("mean", f"of {len(rows)}", mean), *shown])


def printed(rows: Rows, most: int = _SHOWN) -> str:
    """The table in plain text: the means, and the first `most` designs."""
    measures = [measure for measure in known(rows) if measure.key in _PRINTED]
    width = max(len("mean"), *(len(name) for name, _ in rows[:most]))
    heads = [_PRINTED[measure.key] for measure in measures]
    sizes = [max(len(head), 6) for head in heads]

    def line(name: str, cells: Sequence[str]) -> str:
        return name.ljust(width) + "".join(
            f"  {cell.rjust(size)}" for cell, size in zip(cells, sizes, strict=True)
        )

    means = [_cell(measure, mean_of(rows, measure.key)).text for measure in measures]
    lines = [line("design", heads)]
    for name, row in rows[:most]:
        cells = [_cell(measure, row.get(measure.key)).text for measure in measures]
        lines.append(line(name, cells))
    if len(rows) > most:
        lines.append(f"... {len(rows) - most} more in designs.json")
    return "\n".join([*lines, line("mean", means)])


def known(rows: Rows) -> list[Measure]:
    """The measures that some design has."""
    return [m for m in DESIGN_MEASURES if any(m.key in row for _, row in rows)]


def mean_of(rows: Rows, key: str) -> float | None:
    """The mean of a measure over the designs that have it."""
    values = [row[key] for _, row in rows if key in row]
    return math.fsum(values) / len(values) if values else None


def _cell(measure: Measure, value: float | None) -> Cell:
    return Cell("–" if value is None else f"{value:.{measure.digits}f}")
