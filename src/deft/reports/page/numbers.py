"""Sections of numbers: the measures, how exact the methods are, quality against time, and tuning.

A section with nothing to show is an empty text.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from deft.reports import chart
from deft.reports.page.html import (
    mathematics,
    narrow,
)
from deft.reports.page.words import (
    costs,
    duration,
    listed,
)
from deft.reports.table import difference_table, results_table, tuning_table, weights_table
from deft.studies.scores import FEWEST
from deft.studies.words import number


def measures(results: Mapping[str, Any]) -> str:
    noiseless = not any(results["sigma_y"])
    misfit = (
        "Residual: ‖y − A x‖ / √m of a sample, 0 where it agrees with the measurement."
        if noiseless
        else "Misfit: ‖y − A x‖ / (σ_y √m) of a sample, root mean square over images; 1 is right, "
        "below is as wrong as above."
    )
    reading = (
        "<b>Table 1.</b> Means over images ± standard error. <i>Of the mean</i>: the average of "
        f"{number(results['samples'], 'sample')} per image. <i>Of a sample</i>: "
        "a single sample. Patch distance: sliced Wasserstein distance between 7×7 patches of "
        "Laplacian pyramids of samples and of the true images, lower is better; "
        f"its size depends on the number of images. {mathematics(misfit)} A value is marked where "
        "it beats every other conditional method by more than two standard errors "
        f"of the paired difference, over {FEWEST} images or more.{costs(results)}"
    )
    parts = [
        "<h2>Measures</h2>",
        f"<figure>{results_table(results).html()}<figcaption>{reading}</figcaption></figure>",
    ]
    differences = difference_table(results)
    if differences.rows and results["images"]["count"] > 1:
        caption = (
            f"<b>Table 2.</b> Each method minus {escape(results['reference'])}, image by image, "
            "with standard errors of the paired difference; "
            "a method run on fewer images is compared on those."
        )
        parts.append(
            "<figure "
            f'style="margin-top:28px">{differences.html()}<figcaption>{caption}</figcaption></figure>'
        )
    return "\n".join(parts)


def exactness(results: Mapping[str, Any]) -> str:
    """What is known of weights."""
    table = weights_table(results)
    if not table.rows:
        return ""
    caption = (
        "<b>Weights.</b> Paths that a method's own steps draw, weighed by the posterior: with the "
        "exact h all weights are equal, and the effective sample size (ESS) is "
        "the number N of paths or particles of each image. log p(y) is the mean over images, with "
        "the standard error that the weights state, which is itself too "
        "small where the ESS is small. <i>On the way</i>: at any step, before resampling. "
        "Collapsed: below 2 there, where neither samples chosen by weight nor log p(y) "
        "are to be trusted. Where a method has no weights its row says why."
    )
    return f"<h2>How exact</h2>\n<figure>{table.html()}<figcaption>{caption}</figcaption></figure>"


def quality_against_time(results: Mapping[str, Any]) -> str:
    charts = []
    for key, title in (
        ("psnr_mean", "PSNR of the mean, dB (higher is better)"),
        ("patch_distance", "Patch distance, ×10³ (lower is better)"),
    ):
        series = []
        for i, method in enumerate(results["methods"]):
            quality, cost = method["summary"].get(key), method["summary"].get("seconds")
            if method["conditional"] and quality and cost and quality["value"] is not None:
                series.append(
                    chart.Series(
                        method["label"],
                        [cost["value"]],
                        [quality["value"]],
                        [quality["standard_error"] or 0.0],
                        colour=i,
                    )
                )
        if len(series) > 1:
            drawing = chart.scatter_chart(
                series,
                "seconds per image, all samples",
                title.split(",")[0],
                log_x=True,
                title=title,
            )
            charts.append(f"<div><h3>{escape(title)}</h3>{drawing}</div>")
    if not charts:
        return ""
    trained = [
        f"{m['label']} ({duration(m['training_seconds'])})"
        for m in results["methods"]
        if m["training_seconds"]
    ]
    extra = (
        f" Training of the h-transform, done once, is not in the time: {listed(trained)}."
        if trained
        else ""
    )
    return (
        "<h2>Quality against time</h2>\n<figure><div "
        f'class="charts">{"".join(charts)}</div><figcaption><b>Figure 2.</b> '
        f"Time to draw {number(results['samples'], 'sample')} of one image, on a logarithmic "
        f"axis; bars are one standard error.{escape(extra)}</figcaption></figure>"
    )


def tuning(results: Mapping[str, Any]) -> str:
    blocks = [
        f"<details><summary>{escape(m['label'])}: "
        f"{escape(str(m['tuned'].get('parameter', 'a parameter')))} tuned on validation "
        "images</summary>"
        f"{narrow(tuning_table(m['tuned']))}</details>"
        for m in results["methods"]
        if m["tuned"]
    ]
    return f"<h2>Tuning</h2>\n{''.join(blocks)}" if blocks else ""
