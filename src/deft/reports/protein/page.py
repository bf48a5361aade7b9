"""The page of designs: a viewer, the designs from two sides with their contacts, the measures.

One file, into which everything is written; nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from deft.data.proteins.design import Design, to_pdb
from deft.reports.page.html import definitions
from deft.reports.page.page import style_sheet
from deft.reports.protein.drawing import contact_map, two_sides
from deft.reports.protein.table import designs_table
from deft.reports.protein.viewer import Shown, viewer
from deft.storage.atomic import atomic

MOST = 12
"""The designs that are drawn; all are in the table."""


@final
@dataclass(frozen=True)
class Drawn:
    """A design of the page: its name, itself, and its measures."""

    name: str
    design: Design
    measures: Mapping[str, float]

    @property
    def motif(self) -> list[int]:
        """The residues of its motif, from 0."""
        found: list[int] = self.design.layout.index.tolist()
        return found

    @property
    def xyz(self) -> NDArray[np.float64]:
        """Its C-alpha trace."""
        return self.design.xyz


def write_page(
    path: str | Path,
    title: str,
    facts: Mapping[str, str],
    designs: Sequence[Drawn],
    remarks: Sequence[str] = (),
) -> Path:
    """Write the page of `designs`, best first; `remarks` stand below the table."""
    path = Path(path)
    shown = designs[:MOST]
    body = [
        f"<h1>{escape(title)}</h1>",
        '<p class="byline">deft scaffold; motif <span class="motif">■</span>, scaffold '
        '<span class="scaffold">■</span></p>',
        definitions(facts),
        "<h2>Designs</h2>",
        viewer([Shown(one.name, to_pdb(one.design), [i + 1 for i in one.motif]) for one in shown]),
        '<p class="caption">Fewest faults first; C-alpha traces from the front and from the side, '
        "what is near is darker, and contacts of C-alpha atoms within 8 Å."
        f"{f' The first {MOST} of {len(designs)} are drawn.' if len(designs) > MOST else ''}</p>",
        f'<div class="designs">{"".join(map(_figure, range(1, len(shown) + 1), shown))}</div>',
        "<h2>Measures</h2>",
        designs_table([(one.name, one.measures) for one in designs]).html(),
        *(f'<p class="caption">{escape(remark)}</p>' for remark in remarks),
    ]
    page = _PAGE.format(title=escape(title), style=style_sheet() + _STYLE, body="\n".join(body))
    with atomic(path) as file:
        file.write(page.encode())
    return path


def _figure(rank: int, one: Drawn) -> str:
    front, side = two_sides(one.xyz, one.motif)
    contacts = contact_map(one.xyz, one.motif)
    measures = one.measures
    rmsd = measures.get("motif_rmsd")
    said = [
        f"{len(one.xyz)} residues",
        "motif without RMSD" if rmsd is None else f"motif {rmsd:.2f} Å",
        f"bonds {100 * measures['bonds']:.0f} %",
        f"helix {100 * measures['helix']:.0f} %, strand {100 * measures['strand']:.0f} %",
    ]
    return (
        f"<figure><div>{front}{side}{contacts}</div><figcaption><b>{rank}. {escape(one.name)}</b> "
        f"{'; '.join(said)}<br>{escape(one.design.layout.contig)}</figcaption></figure>"
    )


_STYLE = """.motif { color: var(--c1); }
.scaffold { color: var(--c0); }
#stage { position: relative; width: 100%; height: min(520px, 70vh); background: var(--tint); border-radius: 4px; }
.buttons { display: flex; flex-wrap: wrap; gap: 6px; margin: 10px 0; }
.buttons button { font: inherit; font-size: 13.5px; padding: 3px 10px; border: 1px solid var(--line); border-radius: 4px; background: var(--paper); color: var(--ink); cursor: pointer; }
.buttons button[aria-pressed=true] { border-color: var(--c0); color: var(--c0); font-weight: 600; }
.designs { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(500px, 100%), 1fr)); gap: 22px 34px; margin-top: 18px; }
.designs figure > div { display: grid; grid-template-columns: repeat(3, 1fr); gap: 8px; align-items: center; }
.designs svg { width: 100%; height: auto; display: block; }
"""  # noqa: E501

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:; worker-src blob:">
<title>{title}</title>
<style>
{style}</style>
</head>
<body><main>
{body}
</main></body>
</html>
"""  # noqa: E501
