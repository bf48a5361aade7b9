"""The page from a run folder: results are read, sections are joined, files are written.

Figure 1 is also written as one picture.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deft.errors import InvalidInput
from deft.reports import figure
from deft.reports.page.html import range_of
from deft.reports.page.intervals import interval_section
from deft.reports.page.numbers import exactness, measures, quality_against_time, tuning
from deft.reports.page.origin import method_card, page_head, reproduce
from deft.reports.page.samples import comparison, measurement, panel_section
from deft.reports.page.training import training_section
from deft.reports.page.words import page_title
from deft.storage.atomic import atomic
from deft.studies.kept import read_results, read_samples


def write_report(
    folder: str | Path,
    *,
    title: str | None = None,
    introduction: str = "",
    warning: str = "",
    training: Mapping[str, str | Path] | None = None,
    card: Mapping[str, object] | None = None,
    images: int = 6,
    panels: int = 3,
    samples: int = 4,
) -> Path:
    """Write `report.html` (and `comparison.png`, Figure 1 as a file) into a folder that `evaluate`
    filled, and return the path of the page.

    `training` gives the `metrics.jsonl` of each training run by its label, `card` is the
    checkpoint's; `warning` stands first, in a box of its own. `images` is the number of rows of
    Figure 1, `panels` that of the images of which `samples` samples of every method are shown.
    """
    folder = Path(folder)
    results = read_results(folder)
    with np.load(folder / "pictures.npz", allow_pickle=False) as stored:
        pictures = {name: stored[name] for name in stored.files}
    drawn = {
        m["label"]: read_samples(folder, m["label"], len(pictures["truth"])).numpy()
        for m in results["methods"]
    }
    if results["clipped"]:
        drawn = {label: x.clip(*results["value_range"]) for label, x in drawn.items()}
    logs = {label: read_log(path) for label, path in (training or {}).items()}

    sections = [
        page_head(results, title or page_title(results), introduction, warning),
        comparison(results, pictures, drawn, images),
        measures(results),
        exactness(results),
        interval_section(results, pictures, drawn, folder),
        quality_against_time(results),
        panel_section(results, pictures, drawn, panels, samples),
        training_section(logs),
        tuning(results),
        method_card(card),
        reproduce(results),
    ]
    page = _PAGE.format(
        title=escape(title or page_title(results)),
        style=style_sheet(),
        body="\n".join(section for section in sections if section),
    )
    with atomic(folder / "comparison.png") as file:
        file.write(figure.png(comparison_grid(results, pictures, drawn, images)))
    with atomic(folder / "report.html") as file:
        file.write(page.encode())
    return folder / "report.html"


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style>
</head>
<body><main>
{body}
</main></body>
</html>
"""


def style_sheet() -> str:
    """The style of the page."""
    return files("deft.reports").joinpath("style.css").read_text()


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """The lines of a training run's `metrics.jsonl`; a folder stands for the file in it."""
    path = Path(path)
    path = path / "metrics.jsonl" if path.is_dir() else path
    if not path.exists():
        raise InvalidInput(
            f"there is no training log {path}; give a run folder or its metrics.jsonl."
        )
    lines = []
    for line in path.read_text().splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue  # a run that was killed may leave half a line
    return lines


def comparison_grid(
    results: Mapping[str, Any],
    pictures: Mapping[str, NDArray[Any]],
    drawn: Mapping[str, NDArray[Any]],
    images: int,
) -> figure.Picture:
    """Figure 1 as one picture: truth, measurement, and the first sample of every method."""
    value_range = range_of(pictures)
    rows: list[list[figure.Picture | None]] = []
    for i in range(min(images, len(pictures["truth"]))):
        row: list[figure.Picture | None] = [
            figure.picture(pictures["truth"][i], value_range),
            measurement(pictures, i),
        ]
        row += [figure.drawn(x[i, 0], value_range) if i < len(x) else None for x in drawn.values()]
        rows.append(row)
    return figure.grid(
        rows,
        ["truth", "measurement", *drawn],
        scale=figure.enlargement(pictures["truth"].shape[1:]),
    )
