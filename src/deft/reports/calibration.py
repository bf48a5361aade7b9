"""Figures of calibration: rank histograms, coverage curves, samples beside those of the true
posterior.

Bands are two standard errors wide on either side. See `deft.metrics.calibration` and
`deft.studies.projection` for what is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from deft.metrics.calibration import Coverage, RankHistogram
from deft.reports import chart
from deft.studies.projection import principal_axes, projected


def rank_chart(histogram: RankHistogram, label: str, *, colour: int = 0) -> str:
    """The histogram of ranks over that of uniform ones, and the band in which that would lie, as
    SVG.
    """
    bins = len(histogram.ratios)
    names = ["low"] + [""] * (bins - 2) + ["high"] if bins > 1 else [""]
    edges = [float(edge) for k in range(bins) for edge in (k, k + 1)]
    errors = [error for error in histogram.standard_errors for _ in range(2)]
    band = chart.Band(edges, [max(1 - 2 * e, 0.0) for e in errors], [1 + 2 * e for e in errors])
    bars = chart.Series(label, [], histogram.ratios, colour=colour)
    title = f"{label}: ranks of the truth among samples (p = {histogram.p_value:.2g})"
    return chart.bar_chart(
        names, [bars], "rank of the truth", "frequency / expected", title=title, bands=[band]
    )


def coverage_chart(
    curves: Mapping[str, Coverage], *, title: str = "Coverage of credible intervals"
) -> str:
    """The share of truths within intervals against their level, one curve per method, as SVG. Above
    the diagonal intervals are too wide, below too narrow.
    """
    levels = [0.0, 1.0]
    series, bands = [chart.Series("calibrated", levels, levels, faint=True, colour=7)], []
    for i, (label, curve) in enumerate(curves.items()):
        rows = sorted(zip(curve.levels, curve.values, curve.standard_errors))
        x, y = [0.0, *(row[0] for row in rows), 1.0], [0.0, *(row[1] for row in rows), 1.0]
        error = [0.0, *(row[2] for row in rows), 0.0]
        low, high = (
            [max(v - 2 * e, 0.0) for v, e in zip(y, error)],
            [min(v + 2 * e, 1.0) for v, e in zip(y, error)],
        )
        series.append(chart.Series(label, x, y, colour=i))
        bands.append(chart.Band(x, low, high, colour=i))
    return chart.line_chart(
        series, "level of the interval", "share of truths within", title=title, bands=bands
    )


def posterior_chart(
    samples: Mapping[str, Float[Tensor, " samples *event"]],
    reference: Float[Tensor, " draws *event"],
    *,
    axes: Float[Tensor, "2 dimensions"] | None = None,
    title: str = "Samples and the true posterior",
) -> str:
    """Samples of each method over draws of the true posterior, projected on two `axes`, by default
    the principal ones of the latter; as SVG.

    Samples with weights are resampled first (`WeightedSamples.resample`).
    """
    axes = principal_axes(reference) if axes is None else axes
    centre = reference.flatten(1).double().mean(0)
    series = [_cloud("true posterior", reference, centre, axes, faint=True, colour=7)]
    series += [
        _cloud(label, x, centre, axes, colour=i) for i, (label, x) in enumerate(samples.items())
    ]
    return chart.cloud_chart(series, "first axis", "second axis", title=title)


def _cloud(
    label: str, x: Tensor, centre: Tensor, axes: Tensor, *, colour: int, faint: bool = False
) -> chart.Series:
    place = projected(label, x, centre, axes)
    return chart.Series(
        label, place[:, 0].tolist(), place[:, 1].tolist(), faint=faint, colour=colour
    )
