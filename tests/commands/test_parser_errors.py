"""Messages of the parser as errors of one line."""

import pytest

from deft.commands import parser_errors

OPTIONS = ["steps", "labels", "samples"]


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
    error = parser_errors.of_the_parser(message, OPTIONS)
    what, given, advice = parts
    assert (error.what, error.given) == (what, given)
    assert error.expected
    assert advice in error.advice


def test_an_object_that_could_not_be_made_is_that_of_its_option():
    class Config:
        init_args = type("Arguments", (), {})()

    sampler = Config()
    sampler.init_args.steps = 0
    error = parser_errors.of_the_parser(
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
