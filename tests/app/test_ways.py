"""How y comes from a file."""

import dataclasses

import pytest

import deft
from deft.app.ways import DRAWN, GIVEN, PAINTED, said, ways
from deft.errors import InvalidInput
from deft.problems import (
    Deblurring,
    Denoising,
    Inpainting,
    PhaseRetrieval,
    SuperResolution,
    Tomography,
)
from tests.pipeline.test_answers import pipe
from tests.training import small


def labels(problem):
    found = ways(dataclasses.replace(pipe(), prior=small.prior(), problem=problem))
    return {way.label: way for way in found}


def test_inpainting_is_painted_first():
    found = labels(Inpainting(masks="half", sigma_y=0.05))
    assert list(found) == [PAINTED, DRAWN + "Inpainting(masks=HalfMasks())", GIVEN]
    assert found[PAINTED].paints
    assert found[GIVEN].needs == "mask"
    shared = labels(Inpainting(masks="box", sigma_y=0.05))
    assert not shared[GIVEN].needs  # the box in the middle
    assert {way.sigma_y for way in found.values()} == {0.05}


def test_an_operator_that_all_share_needs_no_second_file():
    found = labels(SuperResolution(factor=4, sigma_y=0.1))
    assert list(found) == [DRAWN + "SuperResolution(factor=4, kernel=average)", GIVEN]
    assert not found[GIVEN].needs
    assert not any(way.paints for way in found.values())


@pytest.mark.parametrize(
    ("problem", "needs"),
    [
        (Deblurring(kernel="motion", sigma_y=0.1), "kernel"),
        (Tomography(views=8, angles="random", sigma_y=0.1), "angles"),
    ],
)
def test_what_a_second_file_says(problem, needs):
    assert labels(problem)[GIVEN].needs == needs


def test_any_of_several_problems_is_picked():
    problem = deft.problems.AnyOf(
        [Inpainting(masks="box"), SuperResolution(factor=2), Denoising()], sigma_y=(0.01, 0.5)
    )
    found = labels(problem)
    assert [label.removeprefix(DRAWN)[:10] for label in found] == [
        PAINTED[:10],
        "Inpainting",
        "SuperResol",
        "Denoising(",
    ]
    assert {way.sigma_y for way in found.values()} == {0.05}
    low = deft.problems.AnyOf([Denoising()], sigma_y=(0.2, 0.5))
    assert next(iter(labels(low).values())).sigma_y == 0.2


def test_a_law_of_noise_of_its_own_has_no_level():
    assert {way.sigma_y for way in labels(PhaseRetrieval()).values()} == {None}


def test_said_is_short():
    assert said(Denoising(sigma_y=0.3)) == "Denoising()"
    assert said(Tomography(views=8, sigma_y=0.1)).startswith("Tomography(views=8, span=180.0, ")


def test_signals_that_are_no_pictures():
    import torch

    from deft.priors.gaussian_mixture import GaussianMixture
    from deft.schedules import VPLinear

    line = GaussianMixture(torch.zeros(1, 1, 8), torch.ones(1), None, VPLinear())
    with pytest.raises(InvalidInput) as raised:
        ways(dataclasses.replace(pipe(), prior=line))
    assert "(1, 8)" in raised.value.given
