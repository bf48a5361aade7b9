"""The tables of benchmarks/scaffold.py in Markdown, again from the values that are kept.

python benchmarks/scaffold_tables.py benchmarks/results/protein/scaffold.json
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COLUMNS = (
    ("junction_bonds", "junctions", 2),
    ("bonds", "bonds", 3),
    ("clashes", "clashes", 3),
    ("cross_likelihood", "cross likelihood", 2),
)
SHARES = (
    ("geometry", "without the judge"),
    ("joint", "joint"),
    ("joint_by_natives", "by natives' thresholds"),
)
CONDITIONS = (
    ("motif_rmsd", "motif RMSD", False),
    ("junction_off", "junctions", False),
    ("bonds", "bonds", True),
    ("clashes", "clashes", False),
    ("cross_likelihood", "the judge, of those judged", False),
)
"""Values of designs, their titles, and whether they must be large."""
LONG = {"guidance": "reconstruction guidance"}
DRAWN = ("benchmark", "longer")
"""Sets of enough designs to say what each took."""


def tables(found: Mapping[str, Any]) -> str:
    """All of them."""
    parts = []
    for which, of_set in found["sets"].items():
        parts += [f"### {which}", shares(of_set)]
        if which != "held-out":
            parts.append(by_problem(of_set["methods"]))
        parts += [failures(of_set), measures(of_set["methods"], found["natives"])]
    return "\n\n".join([*parts, "### cost", costs(found)])


def shares(of_set: Mapping[str, Any]) -> str:
    """Successes of each method; a share has its standard error or its interval, and DEFT's less
    it that of paired differences.
    """
    titles = [title for _, title in SHARES]
    rows = [["method", "designs", "motif RMSD < 1 Å", *titles, "DEFT-9 % − it, joint"]]
    for name, row in of_set["methods"].items():
        found = [share(row, key) for key, _ in SHARES]
        held = f"{row['motif_held']['value']:.2f}"
        less = cell(of_set["differences"].get(name), 2)
        rows.append([LONG.get(name, name), str(row["designs"]), held, *found, less])
    return markdown(rows)


def measures(methods: Mapping[str, Any], natives: Mapping[str, Any]) -> str:
    """Means over designs with standard errors, natives last."""
    rows = [["method", "median motif RMSD (Å)", *(title for _, title, _ in COLUMNS)]]
    for name, row in methods.items():
        found = [cell(row.get(key), digits) for key, _, digits in COLUMNS]
        rows.append([LONG.get(name, name), f"{row['motif_rmsd']['median']:.2f}", *found])
    own = [cell(natives.get(key), digits) for key, _, digits in COLUMNS]
    rows.append([f"natives ({natives['chains']})", "–", *own])
    return markdown(rows)


def failures(of_set: Mapping[str, Any]) -> str:
    """Which share of designs diverged, and which share of the others misses each condition of a
    joint success; of those that were judged, the judge's.
    """
    rows = [["what fails", "diverged", *(title for _, title, _ in CONDITIONS)]]
    for name, row in of_set["methods"].items():
        cells = [f"{row.get('diverged', 0) / row['designs']:.2f}"]
        for key, _, least in CONDITIONS:
            limit = {"motif_rmsd": 1.0, "junction_off": "junction"}.get(key, key)
            end = of_set["thresholds"][limit] if isinstance(limit, str) else limit
            values = row["values"][key] if end is not None else None  # never judged
            known = [value for value in values or () if value is not None]
            missed = sum(value < end if least else value > end for value in known)
            cells.append(f"{missed / len(known):.2f}" if known else "–")
        rows.append([LONG.get(name, name), *cells])
    return markdown(rows)


def by_problem(methods: Mapping[str, Any]) -> str:
    """Joint successes of designs for each problem and method, and what they come to."""
    names = list(methods)
    problems = list(dict.fromkeys(p for row in methods.values() for p in row["by_problem"]))
    rows = [["problem", *(LONG.get(name, name) for name in names)]]
    for problem in problems:
        counts = [methods[name]["by_problem"].get(problem) for name in names]
        rows.append([problem, *("–" if c is None else f"{c[0]}/{c[1]}" for c in counts)])
    tried = [len(methods[name]["by_problem"]) for name in names]
    solved = [f"{methods[n]['solved']}/{k}" for n, k in zip(names, tried, strict=True)]
    rows.append(["**problems solved**", *solved])
    clusters = [str(methods[name].get("clusters", 0)) for name in names]
    rows.append(["clusters of successes", *clusters])
    novelty = [methods[name]["novelty"] for name in names]
    rows.append(["TM-score to training", *("–" if n is None else f"{n:.2f}" for n in novelty)])
    return markdown(rows)


def costs(found: Mapping[str, Any]) -> str:
    """Seconds over those of unconditional designs, in rounds and as the problems of each set were
    drawn, and what the prior is asked.
    """
    sets = {k: of_set["methods"] for k, of_set in found["sets"].items() if k in DRAWN}
    heads = ["seconds over unconditional", *(f"{which}, as drawn" for which in sets)]
    rows = [["method", *heads, "evaluations a step", "gradients a step"]]
    for name, row in found["speed"].items():
        middle = (row["seconds_over_unconditional"], *row["range"])
        drawn = [span(over(methods, name)) for methods in sets.values()]
        asked = (row["evaluations_per_step"], row["gradients_per_step"])
        cells = [span(middle), *drawn, *(f"{value:.2g}" for value in asked)]
        rows.append([LONG.get(name, name), *cells])
    return markdown(rows)


def over(methods: Mapping[str, Any], name: str) -> tuple[float, float, float] | None:
    """Median and range over the problems of the seconds of one design over those of unconditional
    ones, where they were kept.
    """
    own, free = (methods.get(key, {}).get("seconds", {}) for key in (name, "unconditional"))
    ratios = [own[p] / free[p] for p in own if own[p] and free.get(p)]
    return (statistics.median(ratios), min(ratios), max(ratios)) if ratios else None


def span(of: tuple[float, float, float] | None) -> str:
    """A median with its range."""
    return "–" if of is None else f"{of[0]:.2f} ({of[1]:.2f} to {of[2]:.2f})"


def cell(value: Mapping[str, Any] | None, digits: int) -> str:
    """A mean with its standard error, and the sign of numbers below 0."""
    if value is None or value["value"] is None:
        return "–"
    error = value["standard_error"]
    text = f"{value['value']:.{digits}f}".replace("-", "−")
    return text if error is None else f"{text} ± {error:.{digits}f}"


def share(row: Mapping[str, Any], key: str) -> str:
    """A share with the standard error over chains where there is one, else Wilson's interval."""
    said = row[key]
    if "over_chains" in said:
        return cell(said["over_chains"], 2)
    low, high = said["wilson"]
    return f"{said['count'] / row['designs']:.2f} ({low:.2f} to {high:.2f})"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a table, the first its heads."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "| --- |" + " ---: |" * (len(rows[0]) - 1))
    return "\n".join(lines)


if __name__ == "__main__":
    print(tables(json.loads(Path(sys.argv[1]).read_text())))
