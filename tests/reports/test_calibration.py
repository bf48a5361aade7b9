import xml.etree.ElementTree as ET

import pytest
import torch

from deft.errors import InvalidInput
from deft.metrics.calibration import coverage, rank_histogram, ranks
from deft.reports.calibration import coverage_chart, posterior_chart, rank_chart
from deft.studies.projection import principal_axes


def drawn(factor=1.0, n=400, m=19):
    draws = torch.randn(n, m + 1, 2, generator=torch.Generator().manual_seed(0))
    return ranks(factor * draws[:, 1:], draws[:, 0])


def elements(drawing, name):
    root = ET.fromstring(drawing)
    assert root.tag == "svg"
    assert not [e for e in root.iter() for v in e.attrib.values() if "nan" in v]
    return [e for e in root.iter() if e.tag == name]


def heights(polygon):
    return [float(pair.split(",")[1]) for pair in polygon.get("points").split()]


@pytest.mark.parametrize("bins", [10, 1])
def test_a_rank_histogram_has_its_bars_and_its_band(bins):
    drawing = rank_chart(rank_histogram(drawn(), 19, bins=bins), "DEFT < DPS")
    (band,) = elements(drawing, "polygon")
    bars = [e for e in elements(drawing, "rect") if list(e)]
    assert len(bars) == bins
    inside = [min(heights(band)) <= float(bar.get("y")) <= max(heights(band)) for bar in bars]
    assert sum(inside) >= bins - 1
    narrow = rank_chart(rank_histogram(drawn(0.5), 19, bins=10), "DPS")
    (band,) = elements(narrow, "polygon")
    ends = [float(bar.get("y")) for bar in elements(narrow, "rect") if list(bar)]
    assert max(ends[0], ends[-1]) < min(heights(band))  # above it: y runs downwards


def test_a_coverage_curve_lies_on_the_diagonal_or_below():
    levels = [0.2, 0.5, 0.8, 0.95]
    drawing = coverage_chart(
        {"right": coverage(drawn(), 19, levels), "narrow": coverage(drawn(0.5), 19, levels)}
    )
    assert len(elements(drawing, "polygon")) == 2
    curves = [e.get("d") for e in elements(drawing, "path") if e.get("fill") == "none"]
    middle = [
        float(d.split()[5]) for d in curves[1:]
    ]  # M x y L x y L x y: the third point, of level 0.5
    assert middle[1] > middle[0] + 20
    assert all(label in drawing for label in ("right", "narrow", "calibrated"))


def test_samples_are_seen_beside_the_true_posterior():
    reference = torch.randn(60, 1, 2, 3, generator=torch.Generator().manual_seed(0))
    drawing = posterior_chart({"SMC": reference[:20] + 0.1, "DPS": reference[:10]}, reference)
    assert [len(list(group)) for group in elements(drawing, "g")] == [60, 20, 10]
    same = posterior_chart({"SMC": reference[:20]}, reference, axes=principal_axes(reference))
    assert posterior_chart({"SMC": reference[:20]}, reference) == same
    with pytest.raises(InvalidInput, match="6 entries are projected on axes"):
        posterior_chart({"SMC": torch.zeros(4, 5)}, reference)
