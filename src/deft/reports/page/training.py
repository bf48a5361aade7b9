"""The section on the training of h-transforms: losses by step and by noise level.

It is an empty text where nothing was trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from deft.reports import chart
from deft.reports.page.words import (
    short,
)


def training_section(logs: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    charts = []
    validated = any("validation" in line for lines in logs.values() for line in lines)
    for label, lines in logs.items():
        steps = [line for line in lines if "loss" in line]
        checks = [line for line in lines if "validation" in line]
        if steps:
            x = [line["step"] for line in steps]
            series = [
                chart.Series(
                    "training", x, [line["loss"] for line in steps], faint=bool(checks), colour=0
                )
            ]
            if checks:
                at = [line["step"] for line in checks]
                series.append(
                    chart.Series(
                        "validation", at, [line["validation"]["loss"] for line in checks], colour=1
                    )
                )
                if checks[0]["validation"]["without"] is not None:
                    series.append(
                        chart.Series(
                            "no h", at, [line["validation"]["without"] for line in checks], colour=5
                        )
                    )
            elif "without" in steps[0]:
                series.append(
                    chart.Series(
                        "no h", x, [line["without"] for line in steps], faint=True, colour=5
                    )
                )
            drawing = chart.line_chart(series, "step", "loss", log_y=True, title=f"{label}: loss")
            charts.append(f"<div><h3>{escape(label)}: loss</h3>{drawing}</div>")
        if checks:
            bins = checks[-1]["validation"]["bins"]
            ratios = [
                100 * b["loss"] / b["without"] if b["without"] > 0 else float("nan") for b in bins
            ]
            names = [short((b["low"] + b["high"]) / 2) for b in bins]
            bars = [
                chart.Series("no h", [], [100.0] * len(bins), faint=True, colour=5),
                chart.Series("with h", [], ratios, colour=0),
            ]
            drawing = chart.bar_chart(
                names,
                bars,
                "log-SNR (middle of the bin), from noise to signal",
                "validation loss, % of no h",
                title=f"{label}: by noise level",
            )
            charts.append(f"<div><h3>{escape(label)}: by noise level</h3>{drawing}</div>")
    if not charts:
        return ""
    levels = (
        " Where a bar with h is shorter than the one without, the h-transform helps at that noise "
        "level; at the clean end the prior alone is nearly as good as "
        "any posterior."
    )
    reading = (
        "The loss is the mean squared error of the estimate of x₀, weighted by noise level as the "
        "objective says; 'no h' is that of the prior alone."
    )
    return (
        "<h2>Training of the h-transform</h2>\n<figure><div "
        f'class="charts">{"".join(charts)}</div><figcaption><b>Figure 4.</b> '
        f"{escape(reading)}{levels if validated else ''}</figcaption></figure>"
    )
