"""The library's errors in the words of the page."""

from pathlib import Path

import pytest

from deft.app.words import LABELS, in_words, spoken
from deft.errors import BadImage, InvalidInput


@pytest.mark.parametrize("name", LABELS)
def test_the_label_stands_for_the_argument(name):
    said = spoken(InvalidInput(name, given=3, expected="another"))
    assert said == f"{LABELS[name]}: got 3; expected another."


def test_files_by_their_names_and_on_one_line():
    said = spoken(BadImage("/tmp/private/a.png\n is damaged."), Path("/tmp/private/a.png"), None)
    assert said == "a.png is damaged."


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (
            "use fit='resize' (scale, then cut the middle out) or fit='crop' (cut without "
            "scaling).",
            'choose under Size: "scale to fit" (scale, then cut the middle out) or "cut out the '
            'middle" (cut without scaling).',
        ),
        ("it is too small for fit='crop', use fit='resize'.", 'choose "scale to fit" under Size'),
        ("use convert='grey'.", 'choose "grey" under Channels.'),
        ("use convert='rgb'.", 'choose "colour" under Channels.'),
        ("value_range=(0, 1) converts them", 'Values "0 to 1" converts them'),
        (
            "Allow_prior=True downloads it; prior= takes a copy of yours, or 'owner/prior'.",
            "start deft app with --prior owner/prior",
        ),
        ("It fails. To skip such files: strict=False.", "It fails."),
    ],
)
def test_arguments_of_python_become_choices(text, part):
    assert part in in_words(text)


def test_what_a_user_wrote_stays():
    assert in_words("a plain word") == "a plain word"
