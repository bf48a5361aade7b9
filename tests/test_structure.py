"""What the source keeps to: the size of its files, one loop over the steps of a grid, and behaviour
that is chosen by methods and not by `isinstance`.
"""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "deft"
FILES = sorted(SOURCE.rglob("*.py"))
TREES = {path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text()) for path in FILES}
OWN = {
    node.name
    for tree in TREES.values()
    for node in ast.walk(tree)
    if isinstance(node, ast.ClassDef)
}

USERS = "what a user gave, of two kinds: an object or what makes one"
PARTS = "the parts of an object that holds others: modules, fields, wrapped objects"
ADVICE = "words of a refusal or of a warning"
CHECKS = "a check that refuses, or is not needed"
ASKED = {
    "app/work.py": ADVICE,
    "commands/k_space.py": USERS,
    "commands/measurements.py": USERS,
    "commands/sample.py": USERS,
    "commands/train.py": USERS,
    "commands/training_bank.py": USERS,
    "commands/verdicts.py": USERS,
    "data/ct/split.py": CHECKS,
    "data/proteins/contig.py": USERS,
    "htransforms/composed.py": CHECKS,
    "htransforms/derivative.py": ADVICE,
    "htransforms/learned.py": CHECKS,
    "htransforms/trained.py": PARTS,
    "interop/deepinv/problem.py": USERS,
    "interop/diffusers.py": ADVICE,
    "likelihoods/base.py": PARTS,
    "likelihoods/gaussian.py": USERS,
    "likelihoods/observation.py": PARTS,
    "networks/faster.py": CHECKS,
    "networks/unet.py": PARTS,
    "operators/base/forward.py": PARTS,
    "operators/whitening.py": PARTS,
    "pipeline/answers.py": PARTS,
    "pipeline/measured.py": USERS,
    "pipeline/opened.py": USERS,
    "pipeline/operators.py": USERS,
    "pipeline/read.py": USERS,
    "pipeline/scaffolds.py": USERS,
    "pipeline/scanned.py": USERS,
    "posterior.py": ADVICE,
    "priors/base.py": PARTS,
    "priors/own.py": USERS,
    "priors/predictions.py": USERS,
    "priors/resolve.py": USERS,
    "samplers/conditional.py": ADVICE,
    "signals.py": USERS,
    "storage/building.py": PARTS,
    "storage/cards.py": PARTS,
    "storage/compound_fields.py": PARTS,
    "studies/method.py": PARTS,
    "training/bank.py": USERS,
    "training/checkpoint.py": PARTS,
    "training/loop.py": USERS,
    "training/validated.py": USERS,
}
"""Files that ask for a class of the package other than to raise at once, with what for."""


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(SOURCE).as_posix())
def test_no_file_is_long(path):
    assert len(path.read_text().splitlines()) <= 300


def asks(tree):
    """Statements with an `isinstance` of a class of the package, that do not raise at once."""
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance"):
            continue
        named = {getattr(part, "id", getattr(part, "attr", "")) for part in ast.walk(node.args[1])}
        statement = node
        while not isinstance(statement, ast.stmt):
            statement = parents[statement]
        refuses = isinstance(statement, ast.Assert) or (
            isinstance(statement, ast.If)
            and any(isinstance(part, ast.Raise) for part in statement.body)
        )
        if named & OWN and not refuses:
            yield ast.unparse(statement)


def test_no_behaviour_is_chosen_by_the_class_of_an_own_object():
    found = {name for name, tree in TREES.items() if any(True for _ in asks(tree))}
    assert found == set(ASKED)


def test_one_loop_goes_over_the_steps_of_a_grid():
    """`walk`: nothing else calls a `step` of its own in a loop. DAPS and RePaint go back and forth
    within one of their steps; optimisers step too.
    """
    loops = [
        name
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, (ast.For, ast.While))
        and any(
            isinstance(part, ast.Call)
            and (
                getattr(part.func, "id", "") == "step"
                or (
                    getattr(part.func, "attr", "") == "step"
                    and getattr(part.func.value, "id", "") != "run"
                )
            )
            for part in ast.walk(node)
        )
    ]
    assert loops == ["steps.py"]


def test_coefficients_of_a_step_are_computed_once():
    """sqrt(1 - (alpha_t sigma_s / (alpha_s sigma_t))^2) stands in `Transition.between` alone."""
    found = [
        name
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp)
        and ast.unparse(node) == "alpha_t * sigma_s / (alpha_s * sigma_t)"
    ]
    assert found == ["transitions.py"]


def test_hashes_and_cards_have_one_home():
    homes = {
        name: function
        for name, tree in TREES.items()
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and (function := node.name) in ("fingerprint", "card_of", "differences", "same_identity")
    }
    assert homes == {
        "priors/identity.py": "same_identity",
        "storage/cards.py": "card_of",
        "storage/claims.py": "differences",
        "storage/fingerprint.py": "fingerprint",
    }
