"""The table of eleven rows: the pages hold what the command makes of the kept values, and losses
are shown like wins.
"""

import re

import pytest
import summary


@pytest.mark.parametrize("path", [summary.PAGE, summary.README], ids=lambda path: path.name)
def test_the_page_is_what_the_command_makes(path):
    assert path.read_text() == summary.pages()[path], "python benchmarks/summary.py"


def test_there_are_eleven_rows_and_their_chapters_exist():
    rows = list(summary.rows())
    assert len(rows) == 11
    for row in rows:
        page = summary.PAGE if row.page is None else summary.PAGE.with_name(row.page)
        titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
        assert summary.slug(row.chapter) in {summary.slug(title) for title in titles}


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


def test_scaffolds_are_paired_over_the_problems_of_all_sets():
    def of(*counts):
        return {"by_problem": {str(k): [good, 10] for k, good in enumerate(counts)}}

    def methods(ours, guidance):
        weak = dict.fromkeys(("replacement", "DPS"), of(*[0] * len(ours)))
        return {"methods": {"DEFT-9 %, weighted": of(*ours), "guidance": of(*guidance), **weak}}

    found = {
        "sets": {"benchmark": methods((10, 8), (8, 8)), "longer": methods((6,), (2,))},
        "setting": {"sampler": {"steps": 60}},
        "speed": {"guidance": {"gradients_per_step": 1.0}},
    }
    row = summary.scaffolds(found)
    assert (row.deft, row.other) == ("80 (60)", "guidance 60 (60, with gradients)")
    assert row.difference == pytest.approx(20.0)
    assert "(docs/protein-results.md#contiguous-problems" in row.markdown("docs/results.md")
    assert "(protein-results.md#contiguous-problems" in row.markdown()


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
