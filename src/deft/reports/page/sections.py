"""The sections of the page, in the order in which they are read.

Each function makes the HTML of one section. A section with nothing to show is an empty text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deft.reports import chart, figure
from deft.reports.page.html import (
    definitions,
    mathematics,
    narrow,
    range_of,
    tile,
    tile_width,
    tiles,
    track,
)
from deft.reports.page.words import (
    arguments_in_words,
    broken_in_words,
    collapsed,
    cost_in_words,
    costs,
    duration,
    finding,
    in_words,
    interval,
    listed,
    noise_in_words,
    plain,
    post_processing,
    problem_name,
    shape_in_words,
    short,
    weights_in_words,
)
from deft.reports.scores import FEWEST
from deft.reports.table import difference_table, results_table, tuning_table, weights_table
from deft.reports.words import number


def page_head(results: Mapping[str, Any], title: str, introduction: str, warning: str) -> str:
    changed = " with changes" if str(results["commit"]).endswith("+changes") else ""
    commit = (
        f"commit {results['commit'][:10]}{changed}"
        if results["commit"]
        else f"version {results['versions']['deft']}"
    )
    parts = [
        f"<h1>{mathematics(title)}</h1>",
        f'<p class="byline">{escape(results["created"][:10])} · {escape(commit)} · '
        f"{escape(results['machine'])}</p>",
    ]
    if warning:
        parts.append(f'<p class="finding warning">{escape(warning)}</p>')
    parts += [
        f'<p class="finding warning">{escape(text)}</p>'
        for text in (*broken_in_words(results), *collapsed(results))
    ]
    parts.append(f'<p class="finding">{escape(finding(results))}</p>')
    if introduction:
        parts.append(f"<p>{escape(introduction)}</p>")
    facts = {
        "Task": f"{problem_name(results)}, {results['problem_in_words']}"
        if results["problem_in_words"]
        else problem_name(results),
        **{
            in_words(key): plain(value)
            for key, value in arguments_in_words(results).items()
            if key != "sigma_y"
        },
        "Measurement noise": noise_in_words(results["sigma_y"]),
        "Prior": f"{results['prior']['name']}, signals of shape "
        f"{shape_in_words(results['prior']['event_shape'])}, frozen",
        "Test": f"{number(results['images']['count'], 'image')} × "
        f"{number(results['samples'], 'sample')}; the same observations and seeds for "
        "every method",
        "Post-processing": post_processing(results),
    }
    return "\n".join([*parts, definitions(facts)])


def comparison(
    results: Mapping[str, Any],
    pictures: Mapping[str, NDArray[Any]],
    drawn: Mapping[str, NDArray[Any]],
    images: int,
) -> str:
    value_range, count = range_of(pictures), min(images, len(pictures["truth"]))
    heads = [
        ("Truth", ""),
        ("Measurement", ""),
        *((m["label"], cost_in_words(m)) for m in results["methods"]),
    ]
    cells = [
        f"<span>{escape(name)}{f'<small>{escape(note)}</small>' if note else ''}</span>"
        for name, note in heads
    ]
    for i in range(count):
        row = [
            ("truth", figure.picture(pictures["truth"][i], value_range)),
            ("measurement", measurement(pictures, i)),
        ]
        cells += [tile(shown, f"image {i + 1}, {name}") for name, shown in row]
        cells += [
            tile(figure.drawn(x[i, 0], value_range), f"image {i + 1}, {label}")
            if i < len(x)
            else "<span></span>"
            for label, x in drawn.items()
        ]
    masked = pictures["coverage"].min() < 0.5
    shown = (
        "What was not measured is hatched."
        if masked
        else "The measurement is drawn as the signal that its operator lifts it to."
    )
    seams = "seams at the border of what was measured, for " if masked else ""
    caption = (
        "<b>Figure 1.</b> One sample of each method for the first "
        f"{'test image' if count == 1 else f'{count} test images'}, none chosen. {shown} "
        f"Look for {seams}structure that contradicts the measurement, and for a loss of fine "
        "texture."
    )
    return (
        '<h2>At a glance</h2>\n<figure><div class="scroll">'
        f"{tiles(cells, len(heads), tile_width(pictures))}</div>"
        f"<figcaption>{caption}</figcaption></figure>"
    )


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


def panel_section(
    results: Mapping[str, Any],
    pictures: Mapping[str, NDArray[Any]],
    drawn: Mapping[str, NDArray[Any]],
    panels: int,
    samples: int,
) -> str:
    value_range, width = range_of(pictures), tile_width(pictures)
    shown = min(samples, results["samples"])
    count = min(panels, len(pictures["truth"]))
    if results["samples"] < 2 or not count:
        return ""
    conditional = [m["label"] for m in results["methods"] if m["conditional"]] or list(drawn)
    spreads = [_spread(drawn[label][:count]) for label in conditional if len(drawn[label])]
    high = float(np.nanquantile(np.concatenate([s.ravel() for s in spreads]), 0.995)) or 1.0
    blocks = []
    for i in range(count):
        truth = figure.picture(pictures["truth"][i], value_range)
        left = f"<div>{tile(truth, f'image {i + 1}, truth')}Truth</div>"
        left += (
            f"<div>{tile(measurement(pictures, i), f'image {i + 1}, measurement')}Measurement</div>"
        )
        heads = ["", *(f"Sample {j + 1}" for j in range(shown)), "", "Mean", "Std. dev."]
        cells = [f"<span>{h}</span>" if h or k == 0 else "<i></i>" for k, h in enumerate(heads)]
        for label, x in drawn.items():
            if i >= len(x):
                continue
            cells.append(f'<span class="row">{escape(label)}</span>')
            cells += [
                tile(figure.drawn(x[i, j], value_range), f"image {i + 1}, {label}, sample {j + 1}")
                for j in range(shown)
            ]
            cells.append("<i></i>")
            cells.append(
                tile(figure.drawn(x[i].mean(0), value_range), f"image {i + 1}, {label}, mean")
            )
            cells.append(
                tile(
                    figure.heat(_spread(x[i : i + 1])[0], high),
                    f"image {i + 1}, {label}, standard deviation",
                )
            )
        columns = f"max-content repeat({shown},{track(width)}) 6px repeat(2,{track(width)})"
        right = (
            '<div class="scroll"><div class="tiles" '
            f'style="grid-template-columns:{columns}">{"".join(cells)}</div></div>'
        )
        blocks.append(f'<div class="panel"><div class="pair">{left}</div>{right}</div>')
    scale = (
        '<div class="scale">0<div '
        f'style="background:{figure.heat_gradient()}"></div>{high:.2g}</div>'
    )
    caption = (
        "<b>Figure 3.</b> Samples of each method, and the mean and the standard deviation over "
        f"all {results['samples']}, one colour scale for all methods"
        f" (in the units of the prior, whose range is {interval(results['value_range'])}). Right "
        "is a spread where the measurement says little, and samples that differ there."
    )
    return (
        "<h2>Samples, mean and "
        f"spread</h2>\n<figure>{''.join(blocks)}{scale}<figcaption>{caption}</figcaption></figure>"
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


def method_card(card: Mapping[str, object] | None) -> str:
    if not card:
        return ""
    facts = {in_words(key): plain(value) for key, value in card.items() if key != "metrics"}
    text = escape(json.dumps(card, indent=2, default=str))
    return (
        f"<h2>The checkpoint</h2>\n{definitions(facts)}<details><summary>The whole "
        f"card</summary><pre>{text}</pre></details>"
    )


def reproduce(results: Mapping[str, Any]) -> str:
    facts = {
        "Commit": results["commit"] or "not in a checkout",
        "Versions": ", ".join(f"{name} {version}" for name, version in results["versions"].items()),
        "Machine": results["machine"],
        "Seed": f"{results['seed']}; every observation and every sample has its own, listed in "
        "results.json",
        "Prior": f"{results['prior']['name']}, weights {results['prior']['hash']}",
        "Learned measures": weights_in_words(results["weights"]),
        "Images": f"{results['images']['count']}, values {results['images']['sha256']}",
    }
    return (
        f"<h2>To reproduce</h2>\n<pre>{escape(results['command'])}</pre>\n{definitions(facts)}"
        '<p class="caption">Values per image, seeds and settings of every method are in '
        "<code>results.json</code> beside this page, all samples in <code>parts/</code>.</p>"
    )


def measurement(pictures: Mapping[str, NDArray[Any]], i: int) -> figure.Picture:
    return figure.hatch(
        figure.picture(pictures["measurement"][i], range_of(pictures)), pictures["coverage"][i]
    )


def _spread(x: NDArray[Any]) -> NDArray[Any]:
    """Standard deviations over samples (images, samples, channels, *space), root mean square over
    channels.
    """
    result: NDArray[Any] = np.sqrt(x.var(axis=1, ddof=1).mean(axis=1))
    return result
