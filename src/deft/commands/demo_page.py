"""The page of `deft demo` over both problems, and what it says of where they came from."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from deft.priors import zoo
from deft.priors.base import Prior
from deft.reports.page import style_sheet
from deft.reports.table import results_table
from deft.storage.atomic import atomic


def introduction(starts: Sequence[Path | None], images: Path | None) -> str:
    """Where the h-transforms and the images came from."""
    shipped = [start.stem for start in starts if start is not None]
    begun = (
        f"It started from {' and '.join(shipped)}, which "
        f"{'ships' if len(shipped) == 1 else 'ship'} with the library, and was fine-tuned here."
        if shipped
        else "It was trained here from scratch."
    )
    where = (
        "The test images are crops of chelsea.png of scikit-image; crops of astronaut, coffee and "
        "rocket trained."
        if images is None
        else f"A part of the images in {images} was kept for the test."
    )
    return f"DEFT: a small network beside the frozen prior. {begun} {where}"


def warning_of(prior: str, quick: bool) -> str:
    """What stands first on a page whose numbers are to be read with care; else empty."""
    if quick:
        return (
            "Made with --quick: a few steps only, to see that it runs. The pictures and the "
            "numbers mean nothing."
        )
    gate = zoo.card(prior).get("gate") if prior in zoo.names() else None
    if not isinstance(gate, Mapping) or gate.get("passed"):
        return ""
    return (
        f"The prior {prior} is below its gate (deft inspect {prior}): read the comparison as a "
        "demonstration, not as a result."
    )


def demo_page(
    out: Path, prior: Prior, pages: Mapping[str, Mapping[str, Any]], told: str, warning: str
) -> Path:
    """One page over both problems, self-contained; the full reports are beside it."""
    parts = [f"<h1>DEFT demo: {escape(prior.name)}</h1>"]
    parts += [f'<p class="finding warning">{escape(warning)}</p>'] if warning else []
    parts.append(f"<p>{escape(told)}</p>")
    for name, results in pages.items():
        picture = b64encode((out / name / "comparison.png").read_bytes()).decode()
        parts.append(f"<h2>{escape(name.capitalize())}</h2>")
        parts.append(
            f'<figure><img alt="{escape(name)}" style="max-width:100%" '
            f'src="data:image/png;base64,{picture}"></figure>'
        )
        parts.append(f"<figure>{results_table(results).html()}</figure>")
        parts.append(
            f'<p><a href="{name}/report.html">The full report: samples, spread, curves, card, how '
            "to reproduce</a></p>"
        )
    body = "\n".join(parts)
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width, initial-scale=1">'
        "<title>DEFT "
        f"demo</title><style>{style_sheet()}</style></head><body><main>\n{body}\n</main></body></html>\n"
    )
    with atomic(out / "report.html") as file:
        file.write(page.encode())
    return out / "report.html"
