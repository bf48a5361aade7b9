"""Results as a table, in HTML and in Markdown.

A cell is `value ± standard error`. The best value of a column is marked only where `evaluate` found
that it beats every other conditional method by more than two standard errors of the paired
difference; costs and the misfit, for which 1 is right, have no best.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, final

from deft.studies.words import number


@final
@dataclass(frozen=True)
class Cell:
    """What stands in one place: the number, its error in a smaller type, and whether it is
    marked.
    """

    text: str
    error: str = ""
    best: bool = False

    @property
    def markdown(self) -> str:
        """The cell in Markdown, in bold where it is marked."""
        content = f"{self.text} ± {self.error}" if self.error else self.text
        return f"**{content}**" if self.best else content


@final
@dataclass(frozen=True)
class Table:
    """Column heads (title, unit), and rows that begin with a name and a note."""

    columns: Sequence[tuple[str, str]]
    rows: Sequence[tuple[str, str, Sequence[Cell]]]

    def markdown(self) -> str:
        """The table in GitHub's Markdown."""
        heads = [
            "method",
            *(f"{title} ({unit})" if unit else title for title, unit in self.columns),
        ]
        lines = ["| " + " | ".join(heads) + " |", "| --- |" + " ---: |" * len(self.columns)]
        for name, note, cells in self.rows:
            label = f"{name} ({note})" if note else name
            lines.append(
                "| "
                + " | ".join([label, *(cell.markdown for cell in cells)]).replace("\n", " ")
                + " |"
            )
        return "\n".join(lines) + "\n"

    def html(self) -> str:
        """The table in HTML, in a frame that scrolls sideways where the page is narrow."""
        heads = "".join(
            f"<th>{escape(title)}{f'<small>{escape(unit)}</small>' if unit else ''}</th>"
            for title, unit in self.columns
        )
        body = []
        for name, note, cells in self.rows:
            shown = "".join(
                f"<td{' class=best' if cell.best else ''}>{escape(cell.text)}"
                f"{f'<small>±&#8239;{escape(cell.error)}</small>' if cell.error else ''}</td>"
                for cell in cells
            )
            body.append(
                f"<tr><th scope=row>{escape(name)}"
                f"{f'<small>{escape(note)}</small>' if note else ''}</th>{shown}</tr>"
            )
        return (
            f'<div class="scroll"><table><thead><tr><th></th>{heads}</tr></thead>'
            f"<tbody>{''.join(body)}</tbody></table></div>"
        )


def results_table(results: Mapping[str, Any]) -> Table:
    """Every measure of every method."""
    measures = [
        m
        for m in results["measures"]
        if any(m["key"] in method["summary"] for method in results["methods"])
    ]
    rows = []
    for method in results["methods"]:
        cells = []
        for measure in measures:
            best = results["best"].get(measure["key"]) == method["label"]
            cells.append(_cell(method["summary"].get(measure["key"]), measure, best))
        rows.append((method["label"], _note(method, results), cells))
    return Table([(_title(m, results), m["unit"]) for m in measures], rows)


def difference_table(results: Mapping[str, Any]) -> Table:
    """Every method minus the reference, on the same images, with standard errors of the paired
    difference.
    """
    measures = [
        m
        for m in results["measures"]
        if m["better"] != "none"
        and any(m["key"] in method["difference"] for method in results["methods"])
    ]
    rows = []
    for method in results["methods"]:
        if method["label"] != results["reference"]:
            cells = [
                _cell(method["difference"].get(measure["key"]), measure, False, signed=True)
                for measure in measures
            ]
            rows.append((method["label"], _note(method, results), cells))
    return Table([(_title(m, results), m["unit"]) for m in measures], rows)


def weights_table(results: Mapping[str, Any]) -> Table:
    """What is known of weights: of samples that were chosen by theirs, and of paths that were
    weighed to see how exact an h-transform is.
    """
    rows = []
    for method in results["methods"]:
        if method.get("weights"):
            rows.append(
                (method["label"], "samples chosen by weight", _weight_cells(method["weights"]))
            )
        paths = method.get("path_weights")
        if paths and method["conditional"] and not method.get("weights"):
            rows.append(
                (method["label"], paths["reason"] or "paths", _weight_cells(paths["cards"]))
            )
    heads = [
        ("log p(y)", "nats"),
        ("N", "per image"),
        ("ESS / N", "median"),
        ("ESS / N", "lowest"),
        ("ESS on the way", "lowest"),
        ("Collapsed", "images"),
    ]
    return Table(heads, rows)


def _weight_cells(cards: Sequence[Mapping[str, Any]]) -> list[Cell]:
    """Over images: the mean of log p(y), with the standard error that the weights state, and the
    effective sample sizes.
    """
    if not cards:
        return [Cell("–")] * 6
    errors = [card["standard_error"] for card in cards]
    error = (
        "not known"
        if None in errors
        else f"{math.fsum(e**2 for e in errors) ** 0.5 / len(errors):.2g}"
    )
    shares = [card["effective_sample_size"] / card["samples"] for card in cards]
    collapsed = sum(bool(card["collapsed"]) for card in cards)
    evidence = [card["log_evidence"] for card in cards]
    mean = math.nan if None in evidence else math.fsum(evidence) / len(cards)
    return [
        Cell("–") if None in evidence else Cell(f"{mean:.2f}".replace("-", "−"), error),
        Cell(str(max(card["samples"] for card in cards))),
        Cell(f"{statistics.median(shares):.2g}"),
        Cell(f"{min(shares):.2g}"),
        Cell(f"{min(card['lowest_ess'] for card in cards):.1f}"),
        Cell(f"{collapsed} of {len(cards)}"),
    ]


def intervals_table(results: Mapping[str, Any]) -> Table:
    """Whether intervals held the truth, of every class of pixels: with the factor that a right
    posterior would need, and with the one that was calibrated.
    """
    rows = []
    for method in results["methods"]:
        said = method.get("intervals") or {}
        for name, row in said.get("classes", {}).items():
            before, after = row["before"], row["after"]
            cells = [Cell(str(row["images"]))]
            cells += [_percent(before), Cell(f"{before['width']:.3g}")]
            if after is None:
                cells += [Cell("–")] * 3
            else:
                ratio = after["factor"] / before["factor"]
                cells += [_percent(after), Cell(f"{after['width']:.3g}"), Cell(f"{ratio:.2f}")]
            rows.append((method["label"], f"{100 * said['level']:g} %, {name}", cells))
    heads = [
        ("Images", "with any"),
        ("Coverage", "% before"),
        ("Width", "before"),
        ("Coverage", "% after"),
        ("Width", "after"),
        ("Factor", "after / before"),
    ]
    return Table(heads, rows)


def _percent(row: Mapping[str, Any]) -> Cell:
    value, error = row["coverage"]["value"], row["coverage"]["standard_error"]
    return Cell(f"{100 * value:.1f}", "" if error is None else f"{100 * error:.1f}")


def tuning_table(tuned: Mapping[str, Any]) -> Table:
    """Values of a tuned parameter with what each scored on validation images; the chosen one is
    marked. `tuned` is `Tuned.card()`, or has `values`, `scores` and `best`.
    """
    metric, parameter = str(tuned.get("metric", "score")), str(tuned.get("parameter", "value"))
    table = tuned.get("table") or zip(tuned.get("values", ()), tuned.get("scores", ()))
    best = tuned.get("value", tuned.get("best"))
    rows = [
        (
            f"{parameter} = {value:g}" if isinstance(value, (int, float)) else str(value),
            "",
            [Cell("not finite" if score is None else f"{score:.4g}", "", value == best)],
        )
        for value, score in table
    ]
    return Table([(metric, "")], rows)


def _cell(
    card: Mapping[str, Any] | None, measure: Mapping[str, Any], best: bool, signed: bool = False
) -> Cell:
    if card is None:
        return Cell("–")
    value, error, digits = card["value"], card["standard_error"], measure["digits"]
    if value is None:
        return Cell("not finite")
    cost = measure["better"] == "none"
    text = f"{value:{'+' if signed else ''}.{digits}f}" if abs(value) < 1e6 else f"{value:.3g}"
    if cost and 0 < abs(value) < 0.01:
        text = f"{value:.1g}"
    return Cell(
        text.replace("-", "−"), "" if cost or error is None else f"{error:.{digits}f}", best
    )


def _title(measure: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    noiseless = measure["key"] == "misfit" and not any(results["sigma_y"])
    return "Residual" if noiseless else measure["title"]


def _note(method: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    parts = [method["notes"]] if method["notes"] else []
    if method["images"] < results["images"]["count"]:
        parts.append(
            "first image only" if method["images"] == 1 else f"first {method['images']} images only"
        )
    if method["broken_samples"]:
        parts.append(f"{number(method['broken_samples'], 'sample')} not finite")
    if method.get("collapsed"):
        parts.append(
            f"weights collapsed on {method['collapsed']} of {number(method['images'], 'image')}"
        )
    return "; ".join(parts)
