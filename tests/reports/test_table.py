import math
from html.parser import HTMLParser

import pytest

from deft.reports.table import Cell, Table, difference_table, results_table, tuning_table
from deft.studies.tune import geometric_grid, tune

MEASURES = [
    {
        "key": "psnr_mean",
        "title": "PSNR of the mean",
        "unit": "dB",
        "better": "higher",
        "digits": 2,
    },
    {"key": "misfit", "title": "Misfit", "unit": "", "better": "one", "digits": 3},
    {"key": "seconds", "title": "Time", "unit": "s / image", "better": "none", "digits": 2},
]


def method(label, psnr, misfit, images=4, difference=None):
    card = {"value": psnr, "standard_error": 0.5, "images": images}
    summary = {
        "psnr_mean": card,
        "misfit": {**card, "value": misfit},
        "seconds": {**card, "value": 0.004},
    }
    return {
        "label": label,
        "summary": summary,
        "difference": difference or {},
        "images": images,
        "notes": "",
        "broken_samples": 0,
    }


@pytest.fixture
def results():
    gap = {"psnr_mean": {"value": -2.5, "standard_error": 0.25, "images": 2}}
    return {
        "measures": MEASURES,
        "best": {"psnr_mean": "DEFT", "misfit": None, "seconds": None},
        "sigma_y": [0.05, 0.05],
        "images": {"count": 4},
        "reference": "DEFT",
        "methods": [
            method("DPS <1>", 18.0, None, images=2, difference=gap),
            method("DEFT", 20.5, 1.004),
        ],
    }


def test_markdown(results):
    lines = results_table(results).markdown().splitlines()
    assert lines[0] == "| method | PSNR of the mean (dB) | Misfit | Time (s / image) |"
    assert lines[2] == "| DPS <1> (first 2 images only) | 18.00 ± 0.50 | not finite | 0.004 |"
    assert lines[3] == "| DEFT | **20.50 ± 0.50** | 1.004 ± 0.500 | 0.004 |"


def test_html_is_escaped_and_marks_the_best_only(results):
    page = results_table(results).html()
    assert "DPS &lt;1&gt;" in page
    assert page.count("class=best") == 1
    HTMLParser().feed(page)


def test_differences_leave_out_the_reference_and_costs(results):
    table = difference_table(results)
    assert [name for name, _, _ in table.rows] == ["DPS <1>"]
    assert table.rows[0][2][0].text == "−2.50"
    assert [title for title, _ in table.columns] == ["PSNR of the mean"]


def test_without_noise_the_misfit_is_a_residual(results):
    results["sigma_y"] = [0.0, 0.0]
    assert "Residual" in results_table(results).markdown()


def test_tuning():
    table = tuning_table(
        {
            "parameter": "weight",
            "metric": "PSNR",
            "values": [0.5, 1.0],
            "scores": [10.0, 12.0],
            "best": 1.0,
        }
    )
    assert "| weight = 1 | **12** |" in table.markdown()


def test_tuning_as_the_library_tunes():
    tuned = tune(
        lambda value: math.nan if value > 3 else abs(value - 0.1),
        geometric_grid(0.01, 10, 10),
        metric="mse",
    )
    table = tuning_table({"parameter": "zeta", **tuned.card()})
    assert len(table.rows) == len(tuned.table)
    assert [cells[0].best for _, _, cells in table.rows].count(True) == 1
    assert table.rows[-1][2][0].text == "not finite"


def test_an_empty_table_is_a_table():
    assert Table([("x", "")], []).markdown().startswith("| method | x |")
    assert Cell("1", "0.1").markdown == "1 ± 0.1"
