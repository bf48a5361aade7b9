"""The page of designs: whole, in one file that fetches nothing."""

import hashlib
import json
import re

import numpy as np
import pytest

from deft.reports.protein import Drawn, printed, write_page
from deft.reports.protein.page import MOST
from deft.reports.protein.viewer import Shown, library, licence, viewer
from tests.data.proteins.test_design import design

MEASURES = {"faults": 0.5, "motif_rmsd": 0.25, "bonds": 0.9, "helix": 0.3, "strand": 0.2}


def drawn(count):
    return [Drawn(f"MADE_{k}", design(k), {**MEASURES, "faults": k / 10}) for k in range(count)]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    facts = {"Motif": "6 residues <b>", "Prior": "tiny"}
    write_page(path, "Designs for MADE", facts, drawn(MOST + 1), ["No designability & no score."])
    return path.read_text()


def test_nothing_is_fetched(page):
    own = page.replace(library(), "").replace(licence(), "")
    assert "default-src 'none'" in page
    assert not re.search(r'(src|href)="(?!data:)', own)
    assert "import(" not in own
    assert "@import" not in own
    assert "url(" not in own


def test_the_library_is_the_file_of_npm_with_its_licence(page):
    """3Dmol.js 2.5.5, build/3Dmol-min.js."""
    assert hashlib.sha256(library().encode()).hexdigest() == SHA256
    assert library() in page
    assert "University of Pittsburgh" in page
    assert "</script" not in library()


SHA256 = "f7cc78921ae72e7623e89cdd111434f58c2efddd2ffda1cd212644b406fb8016"


def test_designs_are_drawn_best_first_and_all_are_in_the_table(page):
    assert page.count("<figure>") == MOST
    assert page.count('aria-label="trace, front"') == MOST
    assert page.count('aria-label="contact map"') == MOST
    assert f"The first {MOST} of {MOST + 1} are drawn." in page
    places = [page.index(f"<b>{k + 1}. MADE_{k}</b>") for k in range(MOST)]
    assert places == sorted(places)
    assert f">MADE_{MOST}<" in page
    assert "6 residues &lt;b&gt;" in page
    assert "No designability &amp; no score." in page


def test_the_viewer_holds_the_designs_and_their_motifs(page):
    held = json.loads(re.search(r'id="designs">(.*?)</script>', page, re.S)[1])
    assert len(held) == MOST
    layout = design(0).layout
    assert held[0]["motif"] == [i + 1 for i in layout.index.tolist()]
    assert held[0]["pdb"].count(" CA ") == layout.length


def test_a_name_cannot_leave_the_script():
    text = viewer([Shown("a<b", "</script><script>alert(1)</script>", [1])])
    assert "a&lt;b" in text
    assert text.count("</script>") == 3
    assert "\\u003c/script>" in text


def test_the_table_in_plain_text_has_means_and_says_what_is_left_out():
    rows = [(f"MADE_{k}", {"faults": float(k), "bonds": 0.5}) for k in range(4)]
    lines = printed(rows, most=2).splitlines()
    assert lines[0].split() == ["design", "faults", "bonds"]
    assert lines[1].split() == ["MADE_0", "0.00", "0.500"]
    assert lines[3] == "... 2 more in designs.json"
    assert lines[4].split() == ["mean", "1.50", "0.500"]
    assert len({len(line) for line in (lines[0], lines[1], lines[4])}) == 1


def test_a_measure_that_a_design_lacks_is_a_dash():
    rows = [("a", {"faults": 1.0, "motif_rmsd": 0.5}), ("b", {"faults": 2.0})]
    assert printed(rows).splitlines()[2].split() == ["b", "2.00", "–"]
    assert np.isclose(float(printed(rows).splitlines()[-1].split()[2]), 0.5)
