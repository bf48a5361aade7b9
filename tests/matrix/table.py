"""The table of docs/methods.md, from the checks alone: nothing is sampled.

A combination is refused by the constructor or by `sampler.check`; `python -m tests.matrix --write`
puts the table between its markers.
"""

from __future__ import annotations

import warnings
from pathlib import Path

from deft.errors import InvalidInput, SaysNothing
from tests.matrix.cases import Case, learned, partner
from tests.matrix.kinds import (
    H_TRANSFORMS,
    OPERATORS,
    PRIORS,
    SAMPLERS,
    SOLVERS,
    observation,
    shape_for,
)

BEGIN, END = "<!-- matrix: begin -->", "<!-- matrix: end -->"
PAGE = Path(__file__).parents[2] / "docs" / "methods.md"

WORKS, REFUSED, NONE = "+", "–", ""


def mark(case: Case) -> str:
    """+ where a combination runs, – where it is refused, nothing where the operator has no such
    signals.
    """
    prior = PRIORS[case.prior](shape_for(case.operator))
    given = observation(case.operator, prior)
    if given is None:
        return NONE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SaysNothing)
            SAMPLERS[case.sampler](prior).check(prior, given[0], H_TRANSFORMS[case.h](prior, 1.0))
    except InvalidInput:
        return REFUSED
    return WORKS


def made() -> str:
    """Methods by operators, and methods by priors, as Markdown."""
    rows = [
        (h, "vectors" if h == "FlatHTransform" else "Gaussian", h, "DDIM(eta=1)")
        for h in H_TRANSFORMS
    ]
    rows += [
        (f"{sampler} (sampler)", "Gaussian", partner("Gaussian", sampler), sampler)
        for sampler in SAMPLERS
        if sampler not in SOLVERS
    ]
    rows += [("TwistedSMC (sampler)", "Gaussian", learned("Gaussian"), "TwistedSMC")]
    operators = [
        [name, *(mark(Case(prior, h, sampler, operator)) for operator in OPERATORS)]
        for name, prior, h, sampler in rows
    ]
    priors = [
        [name, *(mark(Case(prior, h, sampler, "identity")) for prior in PRIORS)]
        for name, _, h, sampler in rows
    ]
    return "\n\n".join(
        [_markdown("method", list(OPERATORS), operators), _markdown("method", list(PRIORS), priors)]
    )


def _markdown(corner: str, columns: list[str], rows: list[list[str]]) -> str:
    letters = [f"{number}" for number in range(1, len(columns) + 1)]
    legend = "; ".join(f"{number}: {name}" for number, name in zip(letters, columns))
    head = [
        f"| {corner} | {' | '.join(letters)} |",
        f"| --- | {' | '.join(':-:' for _ in columns)} |",
    ]
    return "\n".join(
        [f"Columns: {legend}.", "", *head, *(f"| {' | '.join(row)} |" for row in rows)]
    )


def inside(text: str) -> str:
    """What stands between the markers."""
    return text.split(BEGIN)[1].split(END)[0].strip()


def write() -> None:
    """Put the table into the page."""
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{made()}\n\n{END}{rest.split(END)[1]}")
