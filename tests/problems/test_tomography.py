import math

import pytest
import torch

from deft.errors import InvalidInput
from deft.noise import Noise
from deft.operators import Identity
from deft.problems import Denoising, Tomography
from tests.contracts.problem import ProblemContract


class TestTomography(ProblemContract):
    event_shapes = ((1, 8, 8), (2, 12, 20))
    tolerance = 1e-3  # conjugate gradients; sums of hundreds of entries

    def make(self):
        return Tomography(views=6, sigma_y=(0.1, 0.5))


class TestScansOfItsOwn(TestTomography):
    def make(self):
        return Tomography(
            views=5, span=90.0, angles="turned", sigma_y=0.05, relative=True, field=1.0
        )


class TestRandomViewsOfAFan(TestTomography):
    def make(self):
        return Tomography(
            views=7, span=360.0, angles="random", sigma_y=0.05, field=10.0, fan=(20.0, 10.0)
        )


class TestHounsfieldUnits(TestTomography):
    def make(self):
        return Tomography(
            views=6, window=(-1000.0, 1000.0), field=20.0, sigma_y=0.02, relative=True
        )


class TestPhotons(TestTomography):
    # of counts in the thousands, whose draws may differ by one where rates differ by rounding
    tolerance = 0.02

    def make(self):
        return Tomography(views=6, window=(-1000.0, 400.0), field=10.0, photons=(2e3, 1e4))

    def close(self, a, b):
        torch.testing.assert_close(a, b, atol=1.0, rtol=0.02)


class TestTheScan:
    def test_a_limited_angle(self):
        operator = (
            Tomography(views=3, span=90.0, start=-45.0)
            .draw(torch.zeros(2, 1, 8, 8), Noise([0, 1]))
            .operator
        )
        torch.testing.assert_close(operator.angles, torch.tensor([[-45.0, -15.0, 15.0]]))

    def test_each_signal_has_views_of_its_own(self):
        x_0 = torch.zeros(3, 1, 8, 8)
        turned = (
            Tomography(views=3, span=90.0, angles="turned")
            .draw(x_0, Noise(range(3)))
            .operator.angles
        )
        torch.testing.assert_close(turned.diff(dim=1), torch.full((3, 2), 30.0))
        assert len(turned[:, 0].unique()) == 3
        drawn = (
            Tomography(views=3, span=90.0, start=10.0, angles="random")
            .draw(x_0, Noise(range(3)))
            .operator.angles
        )
        assert ((drawn >= 10) & (drawn < 100) & (drawn == drawn.round())).all()
        assert (drawn.diff(dim=1) > 0).all()

    def test_water_is_water(self):
        """0 HU over a field of 10 cm, along the columns: 10 cm times 0.2 / cm."""
        x_0 = torch.zeros(1, 1, 16, 16)
        problem = Tomography(
            views=1, window=(-500.0, 500.0), mu_water=0.2, field=10.0, detectors=16
        )
        torch.testing.assert_close(problem.draw(x_0, Noise([0])).y, torch.full((1, 1, 1, 16), 2.0))

    def test_measurements_from_elsewhere(self):
        """What a scan of the problem's own says is what one from a file says; |A x_0| is
        estimated by |y|.
        """
        x_0 = torch.rand(2, 1, 8, 8)
        for settings in (
            {"sigma_y": 0.5},
            {"sigma_y": 0.035, "relative": True},
            {"photons": 500.0, "field": 1.0},
        ):
            problem = Tomography(views=4, **settings)
            drawn = problem.draw(x_0, Noise([0, 1]))
            given = problem.likelihood(problem.operator(x_0, Noise([5, 6])), drawn.y)
            assert type(given) is type(drawn.likelihood)
            torch.testing.assert_close(
                given.sigma_y.expand(2), drawn.sigma_y.expand(2), rtol=0.05, atol=0
            )
        relative = Tomography(views=4, sigma_y=0.035, relative=True)
        assert relative.likelihood(
            relative.operator(x_0, Noise([0, 1])), drawn.y, 0.3
        ).sigma_y.tolist() == pytest.approx([0.3])
        with pytest.raises(InvalidInput, match=r"draws sigma_y between 0\.1 and 0\.2"):
            Denoising(sigma_y=(0.1, 0.2)).likelihood(Identity(), x_0)

    def test_noise_relative_to_the_sinogram(self):
        x_0 = torch.rand(2, 1, 8, 8) * torch.tensor([1.0, 100.0]).reshape(2, 1, 1, 1)
        observation = Tomography(views=4, sigma_y=0.035, relative=True).draw(x_0, Noise([0, 1]))
        torch.testing.assert_close(
            observation.sigma_y, 0.035 * observation.operator(x_0).abs().mean((1, 2, 3))
        )

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"angles": "randm"}, "Did you mean random"),
            (
                {"angles": "random", "views": 200},
                r"at most one per degree of the span; got 200 in 180",
            ),
            ({"photons": 100.0, "sigma_y": 0.1}, "not both"),
            ({"photons": -1.0}, "photons"),
            ({"photons": (1e3, 1e2)}, "photons"),
            ({"window": (100.0, -100.0)}, "low < high"),
            ({"filter": "han"}, "did you mean hann"),
            ({"field": 0.0}, "field"),
        ],
    )
    def test_errors(self, settings, says):
        with pytest.raises(InvalidInput, match=says):
            Tomography(**settings)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *[("views", value) for value in (0, -1, 2.5, math.nan, 10**9)],
            *[("span", value) for value in (0.0, math.nan, math.inf, 1e9, math.pi)],
            *[("start", value) for value in (math.nan, math.inf)],
            *[
                ("photons", value)
                for value in (
                    0.0,
                    math.nan,
                    math.inf,
                    (1e3, 1e2),
                    (0.0, 1e3),
                    (1e3, math.nan),
                    (-5.0, -1.0),
                )
            ],
            *[("floor", value) for value in (0.0, -1.0, math.nan, math.inf)],
            *[
                ("window", value)
                for value in ((100.0, -100.0), (0.0, 0.0), (math.nan, 1.0), (0.0, math.inf))
            ],
            *[("mu_water", value) for value in (0.0, -0.2, math.nan, math.inf)],
            *[("field", value) for value in (0.0, -1.0, math.nan, math.inf)],
            *[
                ("fan", value)
                for value in ((math.nan, 1.0), (-1.0, 1.0), (0.0, 1.0), (100.0, -1.0))
            ],
            *[("detectors", value) for value in (0, -1, 10**9)],
            *[
                ("sigma_y", value)
                for value in (-1.0, math.nan, math.inf, (0.2, 0.1), (0.0, 1.0), (0.1, math.nan))
            ],
        ],
    )
    def test_numbers_that_cannot_be_meant(self, name, value):
        """Before anything is measured."""
        make = getattr(
            Tomography.__init__, "__wrapped__", Tomography.__init__
        )  # without the checks of types that tests put around it
        with pytest.raises(InvalidInput):
            make(Tomography.__new__(Tomography), **{name: value})

    def test_images_that_are_not_finite(self):
        x_0 = torch.full((1, 1, 8, 8), math.nan)
        for settings in ({"sigma_y": 0.1}, {"photons": 1e3}):
            with pytest.raises(InvalidInput):
                Tomography(views=4, **settings).draw(x_0, Noise([0]))

    def test_conventions(self):
        text = Tomography(views=60, field=40.0).conventions(128)
        assert "60 views, 182 detectors" in text
        assert "pixels of 0.3125" in text
        assert "drawn from" in Tomography(views=60, angles="turned").conventions((16, 16))

    def test_a_volume(self):
        with pytest.raises(
            InvalidInput, match=r"tomography sees slices.*got the shape \(1, 1, 8, 8, 8\)"
        ):
            Tomography().draw(torch.zeros(1, 1, 8, 8, 8), Noise([0]))
