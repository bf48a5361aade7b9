from pathlib import Path

import pytest
import torch

from deft.errors import DeftError, InvalidInput, OutOfMemory, nearest_names, room_for, shown


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_no_room_comes_with_advice(error):
    with (
        pytest.raises(OutOfMemory, match="the device has no room for a lion; try a cat") as raised,
        room_for("a lion", "try a cat"),
    ):
        raise error
    assert raised.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [RuntimeError("shapes"), ValueError("out of memory, says no driver"), KeyboardInterrupt()],
)
def test_other_errors_pass(error):
    with pytest.raises(type(error)) as raised, room_for("a lion", "try a cat"):
        raise error
    assert raised.value is error


def test_nearest_names():
    assert nearest_names("Inpaintng", ["Inpainting", "Denoising"]) == "; did you mean Inpainting?"
    assert nearest_names("xyz", ["Inpainting"]) == ""


def test_the_message_is_made_of_its_parts():
    error = InvalidInput(
        "sigma_y", given=-1, expected="a standard deviation >= 0", advice="use 0 for no noise"
    )
    assert (error.what, error.given, error.expected, error.advice) == (
        "sigma_y",
        -1,
        "a standard deviation >= 0",
        "use 0 for no noise",
    )
    assert str(error) == "sigma_y: got -1; expected a standard deviation >= 0. Use 0 for no noise."
    assert str(InvalidInput("sigma_y", given=-1)) == "sigma_y: got -1."
    assert str(DeftError("a whole sentence.")) == "a whole sentence."
    assert str(DeftError("a sentence", advice="do that.")) == "a sentence. Do that."


def test_values_are_shown_without_control_characters_and_cut():
    assert shown("a\x1b[2Jb\n") == "a\\x1b[2Jb\\n"
    assert len(shown("x" * 10_000)) == 200
    assert shown(Path("folder") / "file") == "folder/file"
