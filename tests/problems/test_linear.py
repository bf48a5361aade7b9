import pytest
import torch

from deft.errors import InvalidInput
from deft.noise import Noise
from deft.problems import (
    MRI,
    BoxMasks,
    Colourisation,
    Deblurring,
    Denoising,
    FreeFormMasks,
    GaussianKernels,
    Inpainting,
    Masks,
    MotionKernels,
    MultiCoilMRI,
    RandomPixelMasks,
    SuperResolution,
)
from tests.contracts.problem import ProblemContract
from tests.refusal import refused


class TestDenoising(ProblemContract):
    def make(self):
        return Denoising(sigma_y=0.2)


class TestFreeForm(ProblemContract):
    def make(self):
        return Inpainting(sigma_y=0.05)


class TestBox(ProblemContract):
    def make(self):
        return Inpainting(BoxMasks(0.4, centred=False), sigma_y=(0.01, 0.5))


class TestRandomPixels(ProblemContract):
    def make(self):
        return Inpainting("random", sigma_y=0.05)


class TestHalf(ProblemContract):
    def make(self):
        return Inpainting("half", sigma_y=0.05)


class TestColourisation(ProblemContract):
    event_shapes = ((3, 8, 8), (3, 12, 20))

    def make(self):
        return Colourisation((0.2126, 0.7152, 0.0722), sigma_y=0.05)


class TestAverage(ProblemContract):
    def make(self):
        return SuperResolution(4, sigma_y=(0.05, 0.1))


class TestBicubic(ProblemContract):
    def make(self):
        return SuperResolution(2, kernel="bicubic", sigma_y=0.05)


class TestGaussianBlur(ProblemContract):
    def make(self):
        return Deblurring(GaussianKernels(5, (0.5, 1.5)), sigma_y=0.05)


class TestGaussianBlurReflected(ProblemContract):
    tolerance = 1e-3  # conjugate gradients

    def make(self):
        return Deblurring("gaussian", border="reflect", sigma_y=0.05)


class TestMotionBlur(ProblemContract):
    event_shapes = ((1, 8, 8), (3, 12, 20))

    def make(self):
        return Deblurring(MotionKernels(7), sigma_y=0.05)


class TestMRI(ProblemContract):
    event_shapes = ((2, 8, 8), (2, 12, 20))

    def make(self):
        return MRI(sigma_y=(0.01, 0.1))


class TestMRIOfFrequenciesAtRandom(TestMRI):
    def make(self):
        return MRI(RandomPixelMasks(0.3), sigma_y=0.05)


def test_names_of_masks_and_kernels():
    assert isinstance(Inpainting().masks, FreeFormMasks)
    assert isinstance(Inpainting("box").masks, BoxMasks)
    assert isinstance(Deblurring("motion").kernels, MotionKernels)
    with pytest.raises(
        InvalidInput, match=r"expected one of freeform, box, random, half\. Did you mean freeform"
    ):
        Inpainting("free-form")
    with pytest.raises(InvalidInput, match="Did you mean motion"):
        Deblurring("motoin")
    refused(
        lambda: Deblurring(border="reflection"),
        "reflection",
        "circular, reflect",
        "perhaps reflect",
    )
    refused(
        lambda: SuperResolution(kernel="averag"), "averag", "average, bicubic", "perhaps average"
    )


class _Given(Masks):
    """One mask for all."""

    def __init__(self, mask):
        self.mask = mask

    def draw(self, like, noise):
        return self.mask

    def init_args(self):
        return {}


def test_masks_that_observe_all_or_nothing():
    x, noise = torch.randn(2, 2, 4, 4), Noise([0, 1])
    for problem in (Inpainting, MRI):
        refused(
            lambda problem=problem: problem(_Given(torch.zeros(2, 1, 4, 4))).draw(x, noise),
            "masks that are 0 everywhere",
            "observe something",
        )
        with pytest.warns(UserWarning, match="nothing is missing"):
            problem(_Given(torch.ones(2, 1, 4, 4))).draw(x, noise)
        refused(
            lambda problem=problem: problem(_Given(torch.ones(3, 1, 4, 4))).draw(x, noise),
            "the shape (3, 1, 4, 4)",
            "(2 or 1, 1, 4, 4)",
        )
        problem(_Given(torch.stack([torch.ones(1, 4, 4), torch.zeros(1, 4, 4)]))).draw(x, noise)


def test_constant_operators_are_made_once(monkeypatch):
    problem, made = SuperResolution(4, kernel="bicubic"), []
    svd = torch.linalg.svd
    monkeypatch.setattr(
        torch.linalg, "svd", lambda *args, **options: made.append(1) or svd(*args, **options)
    )
    for _ in range(3):
        problem.draw(torch.randn(2, 1, 8, 8), Noise([0, 1]))
    assert len(made) == 2  # one per axis
    problem.draw(torch.randn(2, 1, 8, 12), Noise([0, 1]))
    assert len(made) == 4


class TestMultiCoilMRI(ProblemContract):
    event_shapes = ((2, 8, 8), (2, 12, 20))

    def make(self):
        return MultiCoilMRI(3, sigma_y=0.05)

    def test_the_coils_together_see_every_place_alike(self):
        operator = self.make().operator(torch.zeros(1, 2, 8, 10), Noise([0]))
        total = operator.sensitivities.square().sum((1, 2))
        torch.testing.assert_close(total, torch.ones(1, 8, 10))
