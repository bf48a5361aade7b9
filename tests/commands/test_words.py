"""Errors in the words of the command line."""

import pytest

from deft.commands import words
from deft.errors import InvalidInput

OPTIONS = [
    "steps",
    "convert",
    "resume",
    "value_range",
    "labels",
    "bank",
    "problem.sigma_y",
    "h",
    "samples",
]


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("use convert='grey'", "use --convert grey"),
        ("give resume=False", "give --resume false"),
        ("say value_range=(0, 1)", "say --value_range '(0,1)'"),
        ("leave `labels` out", "leave --labels out"),
        ("Inpainting(sigma_y=0.05) was asked", "Inpainting(sigma_y=0.05) was asked"),
        ("give prior=, or steps=", "give prior=, or --steps"),
        ("num_samples=0", "--samples 0"),
        ("two\n  lines", "two lines"),
    ],
)
def test_arguments_become_options(text, spoken):
    assert words.in_options(text, OPTIONS) == spoken


@pytest.mark.parametrize(
    ("what", "given", "typed", "begins"),
    [
        ("steps", 0, {"steps": "0"}, "--steps: got 0"),
        ("steps", 0, {"steps": "3", "sampler.steps": "0"}, "--sampler.steps: got 0"),
        ("sigma_y", -1.0, {"problem.sigma_y": "0.05", "sigma_y": "-1"}, "--sigma_y: got -1"),
        ("sigma_y", -1.0, {"problem.sigma_y": "-1"}, "--problem.sigma_y: got -1"),
        ("evaluations", 7, {}, "--bank: got 7"),
        ("depth", 7, {}, "depth: got 7"),
    ],
)
def test_the_option_that_was_typed_is_named(what, given, typed, begins):
    options = [*OPTIONS, *typed]
    assert words.spoken(
        InvalidInput(what, given=given, expected="another"), options, typed
    ).startswith(begins)
