"""Designs in a viewer that turns: 3Dmol.js (Rego & Koes 2015, doi:10.1093/bioinformatics/btu829),
which lies in this package and is written into the page, so that nothing is fetched.

Its licence (BSD-3-Clause) is beside it and in the page. Without JavaScript or WebGL nothing of the
viewer is shown, and the drawings of `deft.reports.protein.drawing` say what can be said.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import final

_FOLDER = "deft.reports.protein"


@final
@dataclass(frozen=True)
class Shown:
    """A design in the viewer: what its button says, its PDB text, and the residues of its motif,
    counted from 1.
    """

    label: str
    pdb: str
    motif: Sequence[int]


def library() -> str:
    """3Dmol.js, as it is written into a page."""
    return files(_FOLDER).joinpath("vendor/3Dmol-min.js").read_text()


def licence() -> str:
    """The licence of 3Dmol.js and of what it holds."""
    return files(_FOLDER).joinpath("vendor/3Dmol-LICENSE.txt").read_text()


def viewer(designs: Sequence[Shown]) -> str:
    """The viewer, with a button for each design."""
    buttons = "".join(
        f'<button type="button" data-design="{k}">{escape(one.label)}</button>'
        for k, one in enumerate(designs)
    )
    held = json.dumps(
        [{"pdb": one.pdb, "motif": list(one.motif)} for one in designs], allow_nan=False
    ).replace("<", "\\u003c")
    script = files(_FOLDER).joinpath("viewer.js").read_text()
    return (
        '<div id="viewer" hidden><div id="stage"></div><div class="buttons">'
        f'{buttons}<button type="button" id="spin">spin</button></div></div>'
        f'<script type="application/json" id="designs">{held}</script>'
        f"<script>{library()}</script><script>{script}</script>"
        f"<details><summary>The viewer is 3Dmol.js, BSD-3-Clause</summary>"
        f"<pre>{escape(licence())}</pre></details>"
    )
