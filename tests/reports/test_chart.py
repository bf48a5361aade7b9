import math
import xml.etree.ElementTree as ET

import pytest

from deft.reports.chart import (
    Axis,
    Band,
    Series,
    as_file,
    bar_chart,
    cloud_chart,
    line_chart,
    scatter_chart,
)

A = Series("a", [1, 10, 100], [0.5, math.nan, 0.25], error=[0.1, 0.1, 0.0])
B = Series("b < c", [2, 20, 200], [0.4, 0.3, 0.2])


@pytest.mark.parametrize(
    "drawing",
    [
        line_chart([A, B], "step", "loss", log_y=True, title="loss"),
        scatter_chart([A, B], "seconds", "PSNR", log_x=True, joined=True),
        bar_chart(["low", "mid", "high"], [A, B], "log-SNR", "%"),
        line_chart([Series("one", [3], [1.0])], "x", "y"),
        line_chart(
            [A],
            "x",
            "y",
            bands=[Band([1, 10, 100], [0.1, math.nan, 0.2], [0.6, 0.7, 0.8], colour=0)],
        ),
        bar_chart(
            ["low", "mid", "high"], [B], "x", "y", bands=[Band([0, 2], [0.5, 0.5], [1.5, 1.5])]
        ),
        cloud_chart([A, Series("faint", [0.0, 1.0], [1.0, math.inf], faint=True)], "x", "y"),
    ],
)
def test_charts_are_well_formed(drawing):
    root = ET.fromstring(drawing)
    assert root.tag == "svg"
    assert not [e for e in root.iter() for v in e.attrib.values() if "nan" in v]


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        (Axis("", 0, 100), [0, 20, 40, 60, 80, 100]),
        (Axis("", 0.9, 1100, log=True), [1, 10, 100, 1000]),
        (Axis("", 0.011, 0.09, log=True), [0.02, 0.05]),
    ],
)
def test_ticks_are_round_numbers_within_the_axis(axis, expected):
    ticks = axis.ticks()
    assert all(axis.low <= t <= axis.high for t in ticks)
    assert set(expected) <= {round(t, 9) for t in ticks}


def test_a_band_is_within_the_axes():
    drawing = bar_chart(
        ["low", "high"],
        [Series("a", [], [0.2, 0.3])],
        "x",
        "y",
        bands=[Band([0, 2], [0.5, 0.5], [9.0, 9.0])],
    )
    (polygon,) = (e for e in ET.fromstring(drawing).iter() if e.tag == "polygon")
    assert all(0 <= float(pair.split(",")[1]) <= 300 for pair in polygon.attrib["points"].split())


def test_places():
    assert Axis("", 1, 100, log=True).place(10) == pytest.approx(0.5)
    assert Axis.over("", [2, 4], margin=0).place(3) == pytest.approx(0.5)
    assert Axis.over("", [3, 3]).place(3) == pytest.approx(0.5)
    assert Axis.over("", []).low < Axis.over("", []).high


def test_a_curve_of_one_point_is_seen():
    drawing = line_chart(
        [Series("a", [20], [0.2]), Series("b", [20], [0.5], faint=True)], "step", "loss", log_y=True
    )
    assert len([e for e in ET.fromstring(drawing).iter() if e.tag == "circle"]) == 2


def test_a_chart_as_a_file_has_its_namespace():
    chart = line_chart([Series("a", [0, 1], [0, 1])], "x", "y")
    assert ET.fromstring(chart).tag == "svg"
    assert ET.fromstring(as_file(chart)).tag == "{http://www.w3.org/2000/svg}svg"


def test_a_legend_that_is_too_long_for_a_row_takes_more():
    """No name begins left of the axis, and none stands on another."""
    names = [f"a name of some length {i}" for i in range(8)]
    chart = ET.fromstring(
        line_chart([Series(name, [0, 1], [i, i]) for i, name in enumerate(names)], "x", "y")
    )
    squares = [
        (float(r.get("x")), float(r.get("y"))) for r in chart.iter("rect") if r.get("rx") == "2"
    ]
    assert len(set(squares)) == len(squares) == 8
    assert min(x for x, _ in squares) > 60
    assert len({y for _, y in squares}) > 1
