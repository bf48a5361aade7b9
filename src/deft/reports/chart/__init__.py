"""Curves, bars and points as SVG text, without a plotting library.

Colours are CSS variables (`--ink`, `--line`, `--c0` ... `--c7`) with defaults, so that a page may
restyle its charts, for a dark background for instance.

`series` is what a chart shows, `canvas` places and draws its parts, `charts` are the four kinds.
"""

from deft.reports.chart.charts import as_file, bar_chart, cloud_chart, line_chart, scatter_chart
from deft.reports.chart.series import Axis, Band, Series

__all__ = [
    "Axis",
    "Band",
    "Series",
    "as_file",
    "bar_chart",
    "cloud_chart",
    "line_chart",
    "scatter_chart",
]
