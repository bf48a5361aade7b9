"""Tables of the pages: heads, then a row of separators as Markdown has it, then as many cells in
every row.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SEPARATOR = re.compile(r":?-+:?")


def tables(text):
    """The tables of a page, each a list of its lines; what stands in code is none."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    found = [[]]
    for line in text.splitlines():
        if re.match(r"\|[ :-]", line):
            found[-1].append(line)
        elif found[-1]:
            found.append([])
    return [lines for lines in found if lines]


def cells(line):
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def broken(lines):
    """The lines of a table that Markdown would not show as such."""
    if len(lines) < 2 or not all(SEPARATOR.fullmatch(cell) for cell in cells(lines[1])):
        return lines[:2]
    return [line for line in lines if len(cells(line)) != len(cells(lines[0]))]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_tables_are_tables(page):
    for lines in tables(page.read_text()):
        assert not broken(lines)


def test_what_is_no_table_is_found():
    good = "text\n\n| a | b |\n| --- | :-: |\n| 1 \\| 2 | |\n\n```\n| code |\n```\n"
    assert [broken(lines) for lines in tables(good)] == [[]]
    minus, row = good.replace("---", "−--"), good.replace("| 1", "| 0 | 1")
    assert [len(broken(lines)) for lines in tables(minus)] == [2]
    assert [broken(lines) for lines in tables(row)] == [["| 0 | 1 \\| 2 | |"]]


def test_there_are_tables():
    assert sum(len(tables(page.read_text())) for page in PAGES) > 50
