"""The picture of the layout in docs/design.md is that of the source as it stands."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]


def test_the_picture_is_made_from_the_code():
    made = "import layout; print(layout.picture(), end='')"
    found = subprocess.run(
        [sys.executable, "-c", made], capture_output=True, text=True, cwd=ROOT / "docs", check=True
    ).stdout
    assert found == (ROOT / "docs" / "layout.svg").read_text(), "run: python docs/layout.py"
    ElementTree.fromstring(found)


def test_the_page_shows_it():
    assert "(layout.svg)" in (ROOT / "docs" / "design.md").read_text()
