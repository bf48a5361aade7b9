import pytest
import torch

from deft.errors import OutOfMemory, nearest_names, room_for


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("DefaultCPUAllocator: can't allocate memory"), MemoryError()]
)
def test_no_room_comes_with_advice(error):
    with pytest.raises(OutOfMemory, match="the device has no room for a lion; try a cat") as raised, room_for("a lion", "try a cat"):
        raise error
    assert raised.value.__cause__ is error


@pytest.mark.parametrize("error", [RuntimeError("shapes"), ValueError("out of memory, says no driver"), KeyboardInterrupt()])
def test_other_errors_pass(error):
    with pytest.raises(type(error)) as raised, room_for("a lion", "try a cat"):
        raise error
    assert raised.value is error


def test_nearest_names():
    assert nearest_names("Inpaintng", ["Inpainting", "Denoising"]) == "; did you mean Inpainting?"
    assert nearest_names("xyz", ["Inpainting"]) == ""
