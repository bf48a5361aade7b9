"""The table of ten rows: the pages hold what the command makes of the kept values, and losses
are shown like wins.
"""

import re

import pytest
import summary


@pytest.mark.parametrize("path", [summary.PAGE, summary.README], ids=lambda path: path.name)
def test_the_page_is_what_the_command_makes(path):
    assert path.read_text() == summary.pages()[path], "python benchmarks/summary.py"


def test_there_are_ten_rows_and_their_chapters_exist():
    chapters = {
        summary.slug(title)
        for title in re.findall(r"^#+ (.*)$", summary.PAGE.read_text(), re.MULTILINE)
    }
    rows = list(summary.rows())
    assert len(rows) == 10
    assert {summary.slug(row.chapter) for row in rows} <= chapters


def method(label, values, gradients=0.0):
    cost = {
        "evaluations": {"value": float(label.rsplit("-", 1)[1])},
        "prior_gradients": {"value": gradients},
    }
    return {"label": label, "per_image": {"psnr_mean": values}, "summary": cost}


def test_the_best_other_is_the_one_that_is_hardest_to_beat_on_the_images_of_both():
    methods = [
        method("DEFT-20", [10.0, 20.0, 60.0]),
        method("DPS-500", [11.0, 22.0], 500.0),
        method("DDNM-100", [9.0, 19.0, 59.0]),
    ]
    row = summary.quality("a", "b", [{"methods": methods}])
    assert (row.difference, row.deft, row.count) == (-1.5, "15.00 (20)", "2")
    assert row.other == "DPS 16.50 (500, with gradients)"
    assert "| −1.50 ± 0.50 |" in row.markdown()


def test_problems_are_averaged_image_by_image():
    one, two = (
        {"methods": [method("DEFT-20", ours), method("DPS-500", theirs)]}
        for ours, theirs in (([1.0, 3.0], [0.0, 0.0]), ([3.0, 1.0], [0.0, 0.0]))
    )
    row = summary.quality("a", "b", [one, two])
    assert (row.difference, row.standard_error) == (2.0, 0.0)


@pytest.mark.parametrize("text", ["", "<!-- summary -->", "<!-- /summary -->"])
def test_a_page_without_markers_is_refused(text):
    with pytest.raises(SystemExit):
        summary.written(text, "summary", "x")


def test_written_twice_is_written_once():
    once = summary.written("a <!-- summary --> old <!-- /summary --> b", "summary", "new")
    assert summary.written(once, "summary", "new") == once
    assert once.startswith("a ")
    assert once.endswith(" b")
    assert "old" not in once
