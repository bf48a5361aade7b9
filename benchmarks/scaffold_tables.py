"""The tables of benchmarks/scaffold.py in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = (
    ("motif_held", "motif RMSD < 1 Å", 2),
    ("junction_bonds", "junction bonds", 2),
    ("bonds", "bonds", 3),
    ("clashes", "clashes", 3),
    ("cross_likelihood", "cross likelihood", 2),
)


def tables(found: Mapping[str, Any]) -> str:
    """All of them."""
    parts = [held_out(found)] if "held-out" in found["sets"] else []
    for which in ("benchmark", "several"):
        if which in found["sets"]:
            parts.append(by_problem(found["sets"][which]["methods"]))
            parts.append(means(found, which))
    return "\n\n".join([*parts, costs(found)])


def held_out(found: Mapping[str, Any]) -> str:
    """Means over held-out chains, with standard errors over chains."""
    return means(found, "held-out")


def means(found: Mapping[str, Any], which: str) -> str:
    """The measures of each method, natives last, and the shares of successes."""
    heads = [title for _, title, _ in COLUMNS]
    rows = [
        ["method", "designs", "median RMSD (Å)", *heads, "geometry", "joint", "by natives' own"]
    ]
    for name, row in found["sets"][which]["methods"].items():
        rows.append(
            [
                name,
                str(row["designs"]),
                f"{row['motif_rmsd']['median']:.2f}",
                *(cell(row.get(key), digits) for key, _, digits in COLUMNS),
                *(share(row, key) for key in ("geometry", "joint", "joint_by_natives")),
            ]
        )
    own = found["natives"]
    natives = [cell(own.get(key), digits) for key, _, digits in COLUMNS]
    rows.append(["natives", str(own["chains"]), "–", *natives, "–", "–", "–"])
    return markdown(rows)


def by_problem(methods: Mapping[str, Any]) -> str:
    """Joint successes of designs for each problem and method, and what they come to."""
    names = list(methods)
    problems = list(dict.fromkeys(p for row in methods.values() for p in row["by_problem"]))
    rows = [["problem", *names]]
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
    """Seconds over those of unconditional designs, and what the prior is asked."""
    rows = [["method", "seconds / unconditional", "evaluations / step", "gradients / step"]]
    for name, row in found["speed"].items():
        low, high = row["range"]
        ratio = f"{row['seconds_over_unconditional']:.2f} ({low:.2f} to {high:.2f})"
        asked = (row["evaluations_per_step"], row["gradients_per_step"])
        rows.append([name, ratio, *(f"{value:.2g}" for value in asked)])
    return markdown(rows)


def cell(value: Mapping[str, Any] | None, digits: int) -> str:
    """A mean with its standard error."""
    if value is None or value["value"] is None:
        return "–"
    error = value["standard_error"]
    text = f"{value['value']:.{digits}f}"
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
