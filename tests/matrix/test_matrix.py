"""Prior x h-transform x sampler x operator: each pair works, or is refused before the prior is
evaluated (docs/methods.md has the table).
"""

from itertools import combinations
from pathlib import Path

import pytest

from deft.errors import InvalidInput
from tests.matrix import table
from tests.matrix.cases import BLIND, Case, cases, recommended, run
from tests.matrix.kinds import H_TRANSFORMS, OPERATORS, PRIORS, SAMPLERS, SOLVERS

ALL = cases()
SAMPLE = ALL[::25]


def test_every_pair_is_there():
    kinds = {"prior": PRIORS, "h": H_TRANSFORMS, "sampler": SAMPLERS, "operator": OPERATORS}
    for (one, first), (two, second) in combinations(kinds.items(), 2):
        pairs = {(getattr(case, one), getattr(case, two)) for case in ALL}
        assert pairs >= {(a, b) for a in first for b in second}


@pytest.mark.parametrize("case", SAMPLE, ids=str)
def test_it_works_or_is_refused(case):
    check(case)


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in ALL if case not in SAMPLE], ids=str)
def test_all_of_them_work_or_are_refused(case):
    check(case)


def check(case: Case) -> None:
    result = run(case)
    if result.error is None:
        return
    assert isinstance(result.error, InvalidInput)
    if "no other method takes it" in (result.error.advice or ""):
        nothing_takes(case)
        return
    advice = [
        (h, sampler)
        for h, sampler in recommended(result.error)
        if (sampler or not case.h.startswith(h))
        and sampler != case.sampler  # not itself, which it names
    ]
    for h, sampler in advice:
        instead = Case(
            case.prior,
            h or case.h,
            sampler or (case.sampler if case.sampler in SOLVERS else "DPMSolver"),
            case.operator,
        )
        found = run(instead)
        untrained = (
            instead.h == "LearnedHTransform" and found.outcome == "silent"
        )  # a trained one reads the lift
        assert untrained or found.outcome in ("works", "none"), (
            f"{case} recommends {instead}, which is {found.outcome}: {found.error}"
        )
    assert advice, f"{case} is refused without a way out: {result.error}"


def nothing_takes(case: Case) -> None:
    """Every method that conditions on y by the operator is refused, or says nothing."""
    conditions = [
        Case(case.prior, h, "DPMSolver", case.operator) for h in H_TRANSFORMS if h not in BLIND
    ]
    conditions += [
        Case(case.prior, "NoConditioning", sampler, case.operator)
        for sampler in SAMPLERS
        if sampler not in SOLVERS
    ]
    for other in conditions:
        assert run(other).outcome in ("refused", "silent"), (
            f"{case} is told that no method takes it, and {other} does"
        )


def test_the_table_in_the_docs_is_what_comes_out():
    page = Path(__file__).parents[2] / "docs" / "methods.md"
    assert table.inside(page.read_text()) == table.made(), "python -m tests.matrix --write"
