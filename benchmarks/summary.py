"""The table of eleven rows in README.md and at the beginning of docs/results.md, and the contents
of the latter, made from the values by image that benchmarks/results keeps.

    python benchmarks/summary.py

DEFT stands beside the best of the other methods on the images that both ran on, paired; where a row
has several problems their values are averaged image by image first. The best is the method to which
DEFT's difference is the least favourable. Of calibration no values by image are kept: its two
standard errors are added in squares.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from deft.studies.estimate import Estimate

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGE, README = (
    ROOT / "benchmarks" / "results",
    ROOT / "docs" / "results.md",
    ROOT / "README.md",
)
DEFT = "DEFT-20"
HEAD = (
    "| problem | measure | DEFT (evaluations) | best other method (evaluations) | DEFT − other | "
    "images |\n| --- | --- | ---: | ---: | ---: | ---: |"
)
PHOTOGRAPHS, DIGITS, SLICES = "quality-natural", "quality-digits", "quality-ct"
QUALITY = (
    (
        "digits: box, strokes, 4x, with noise",
        "Quality on digits-32",
        DIGITS,
        ("box-0.05", "freeform-0.05", "sr4-0.05"),
    ),
    (
        "photographs: box, strokes, 4x, with noise",
        "Quality on natural-64",
        PHOTOGRAPHS,
        ("box-0.05", "freeform-0.05", "sr4-0.05"),
    ),
    (
        "CT, 60 and 20 views over 180 degrees",
        "Computed tomography on ct-128",
        SLICES,
        ("views-60", "views-20"),
    ),
    ("CT, 60 views over 90 degrees", "Computed tomography on ct-128", SLICES, ("limited-90",)),
    (
        "photographs: HDR",
        "Problems that are not linear, on natural-64",
        f"{PHOTOGRAPHS}-nonlinear",
        ("hdr-0.05",),
    ),
    (
        "photographs: non-linear blur",
        "Problems that are not linear, on natural-64",
        f"{PHOTOGRAPHS}-nonlinear",
        ("blur-0.05",),
    ),
    (
        "photographs: phase retrieval",
        "Problems that are not linear, on natural-64",
        f"{PHOTOGRAPHS}-nonlinear",
        ("phase-0.05",),
    ),
    (
        "digits: phase retrieval",
        "Problems that are not linear, on digits-32",
        f"{DIGITS}-nonlinear",
        ("phase-0.05",),
    ),
)
"""What a row is called, the chapter of docs/results.md, its folder of kept values, and its
problems.
"""


@final
@dataclass(frozen=True)
class Row:
    """DEFT and the best other method; `count` images, or the two numbers where they differ; a
    `page` of its own, beside docs/results.md.
    """

    problem: str
    chapter: str
    measure: str
    deft: str
    other: str
    difference: float
    standard_error: float
    count: str
    digits: int = 2
    page: str | None = None

    def markdown(self, page: str = "") -> str:
        """A line of the table, with a link to the chapter of `page`."""
        difference = f"{self.difference:+.{self.digits}f} ± {self.standard_error:.{self.digits}f}"
        at = page if self.page is None else f"{page.rpartition('/')[0]}/{self.page}".lstrip("/")
        name = f"[{self.problem}]({at}#{slug(self.chapter)})"
        cells = [
            self.measure,
            *(minus(cell) for cell in (self.deft, self.other, difference)),
            self.count,
        ]
        return f"| {name} | {' | '.join(cells)} |"


def rows(folder: Path = RESULTS) -> Iterator[Row]:
    """The eleven rows."""
    for name, chapter, place, problems in QUALITY:
        yield quality(
            name, chapter, [_read(folder / place / f"{problem}.json") for problem in problems]
        )
    yield calibration(
        [
            _read(folder / "calibration-digits" / f"{name}-data.json")
            for name in ("box-0.05", "sr4-0.05")
        ]
    )
    yield mixtures(
        [
            _read(folder / "mixture" / f"methods-d{d}-dy{dy}.json")
            for d in (8, 80)
            for dy in (1, 2, 4)
        ]
    )
    yield scaffolds(_read(folder / "protein" / "scaffold.json"))


def quality(
    name: str, chapter: str, problems: Sequence[dict[str, Any]], key: str = "psnr_mean"
) -> Row:
    """PSNR of the mean, averaged over problems on the same images."""
    methods = [{method["label"]: method for method in problem["methods"]} for problem in problems]
    values = {
        label: [
            sum(column) / len(column)
            for column in zip(*(found[label]["per_image"][key] for found in methods))
        ]
        for label in methods[0]
        if all(label in found for found in methods)
    }
    others = {
        label: _paired(values[DEFT], theirs)
        for label, theirs in values.items()
        if not label.startswith("DEFT")
    }
    best = min(others, key=lambda label: others[label].value)
    count = len(values[best])
    cost = methods[0][best]["summary"]
    spent = [
        f"{cost['evaluations']['value']:.0f}",
        "with gradients" if cost["prior_gradients"]["value"] else "",
    ]
    return Row(
        name,
        chapter,
        "PSNR of the mean (dB)",
        f"{_mean(values[DEFT][:count]):.2f} (20)",
        f"{best.rsplit('-', 1)[0] if best[-1].isdigit() else best} {_mean(values[best]):.2f} "
        f"({', '.join(filter(None, spent))})",
        others[best].value,
        others[best].standard_error,
        str(count),
    )


def calibration(problems: Sequence[dict[str, Any]], level: float = 0.8) -> Row:
    """How far the share of entries within 80 % intervals is from 80 %, in points: the mean of
    the absolute values over problems.
    """
    found: dict[str, list[tuple[float, float, int]]] = {}
    for problem in problems:
        for label, method in problem["methods"].items():
            cover = method["entries"]["coverage"]
            at = cover["levels"].index(level)
            miss, error = 100 * abs(cover["values"][at] - level), 100 * cover["standard_errors"][at]
            found.setdefault(label.rsplit("-", 1)[0], []).append(
                (miss, error, method["observations"])
            )
    means = {label: _mean([miss for miss, _, _ in each]) for label, each in found.items()}
    errors = {
        label: math.hypot(*(error for _, error, _ in each)) / len(each)
        for label, each in found.items()
    }
    best = min((label for label in means if label != "DEFT"), key=means.__getitem__)
    spent = {
        label: [
            key.rsplit("-", 1)[1]
            for p in problems
            for key in p["methods"]
            if key.rsplit("-", 1)[0] == label
        ]
        for label in means
    }
    return Row(
        "digits: calibration, box and 4x",
        "Calibration on digits-32",
        "miss of 80 % intervals (points; less is better)",
        f"{means['DEFT']:.1f} ({' and '.join(dict.fromkeys(spent['DEFT']))})",
        f"{best} {means[best]:.1f} ({' and '.join(dict.fromkeys(spent[best]))})",
        means["DEFT"] - means[best],
        math.hypot(errors["DEFT"], errors[best]),
        f"{found['DEFT'][0][2]} and {found[best][0][2]}",
        digits=1,
    )


def mixtures(cells: Sequence[dict[str, Any]]) -> Row:
    """log10 of the distance to the exact posterior, a mean over the problems of all cells; 100
    evaluations for all.
    """
    apart = ("floor", "exact", "learned")
    problems = [problem for cell in cells for problem in cell["problems"].values()]
    everywhere = set.intersection(*(set(problem) for problem in problems))
    values = {
        label: [math.log10(problem[label]) for problem in problems]
        for label in sorted(everywhere)
        if label == "learned" or not label.startswith(apart)
    }
    others = {
        label: _paired(values["learned"], theirs)
        for label, theirs in values.items()
        if label != "learned"
    }
    best = max(others, key=lambda label: others[label].value)
    return Row(
        "Gaussian mixtures, d = 8 and 80",
        "Gaussian mixtures, where the posterior is known",
        "log10 of the distance to the posterior (less is better)",
        f"{_mean(values['learned']):.2f} (100)",
        f"{best} {_mean(values[best]):.2f} (100)",
        others[best].value,
        others[best].standard_error,
        f"{len(problems)} problems",
    )


def scaffolds(found: dict[str, Any], sets: Sequence[str] = ("benchmark", "longer")) -> Row:
    """The share of joint successes in percent, paired over the problems of all sets."""
    ours, others = "DEFT-9 %, weighted", ("replacement", "DPS", "guidance")
    shares = {
        label: [
            100 * good / tried
            for name in sets
            for good, tried in found["sets"][name]["methods"][label]["by_problem"].values()
        ]
        for label in (ours, *others)
    }
    apart = {label: _paired(shares[ours], shares[label]) for label in others}
    best = min(others, key=lambda label: apart[label].value)
    steps = found["setting"]["sampler"]["steps"]
    gradients = found["speed"][best]["gradients_per_step"]
    return Row(
        "proteins: one motif in one piece",
        "Contiguous problems of the benchmark",
        "joint success of designs (%)",
        f"{_mean(shares[ours]):.0f} ({steps})",
        f"{best} {_mean(shares[best]):.0f} ({steps}{', with gradients' if gradients else ''})",
        apart[best].value,
        apart[best].standard_error,
        f"{len(shares[ours])} problems",
        digits=0,
        page="protein-results.md",
    )


def table(page: str = "", folder: Path = RESULTS) -> str:
    """The table as Markdown, with links into `page`."""
    return "\n".join([HEAD, *(row.markdown(page) for row in rows(folder))])


def contents(text: str) -> str:
    """Links to the chapters of a page."""
    return "\n".join(
        f"- [{title}](#{slug(title)})" for title in re.findall(r"^## (.*)$", text, re.MULTILINE)
    )


def slug(title: str) -> str:
    """The name under which GitHub links to a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def minus(cell: str) -> str:
    """A cell with the sign for minus before numbers."""
    return re.sub(r"(?<![\w])-(?=\d)", "−", cell)


def written(text: str, name: str, made: str) -> str:
    """A page with `made` between its markers, <!-- name --> and <!-- /name -->. Raises
    `SystemExit` where it has none.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, first, rest = text.partition(begin)
    _, last, after = rest.partition(end)
    if not (first and last):
        raise SystemExit(f"there are no markers {begin} and {end}")
    return f"{before}{begin}\n\n{made}\n\n{end}{after}"


def pages() -> dict[Path, str]:
    """The pages as they should be."""
    results, readme = PAGE.read_text(), README.read_text()
    results = written(written(results, "contents", contents(results)), "summary", table())
    return {PAGE: results, README: written(readme, "summary", table("docs/results.md"))}


def _paired(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    return Estimate.mean([a - b for a, b in zip(ours, theirs)])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def main() -> None:
    """Write the pages."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    for path, text in pages().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
