"""Errors and messages of the parser in the words of the command line."""

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


@pytest.mark.parametrize(
    ("message", "parts"),
    [
        (
            "unrecognized arguments: --stepz 3",
            ("unknown option", "--stepz", "did you mean --steps"),
        ),
        ("argument --labels/--labels+: expected one argument", ("--labels", "nothing", "")),
        (
            "Parser key \"steps\":\n  Expected a <class 'int'>. Got value: many",
            ("--steps", "many", ""),
        ),
        (
            "Parser key \"steps\":\n  Expected a <class 'float'>. Got value: nan",
            ("--steps", "nan", ""),
        ),
        ("the following arguments are required: target", ("TARGET", "nothing", "")),
    ],
)
def test_what_the_parser_says(message, parts):
    error = words.of_the_parser(message, OPTIONS)
    what, given, advice = parts
    assert (error.what, error.given) == (what, given)
    assert error.expected
    assert advice in error.advice


def test_an_object_that_could_not_be_made_is_that_of_its_option():
    class Config:
        init_args = type("Arguments", (), {})()

    sampler = Config()
    sampler.init_args.steps = 0
    error = words.of_the_parser(
        "Errors:\n  - steps: got 0; expected at least 1. Use 20",
        OPTIONS,
        {"sampler": sampler, "seed": 3},
    )
    assert (error.what, error.given, error.expected, error.advice) == (
        "--sampler.steps",
        "0",
        "at least 1",
        "Use 20",
    )
