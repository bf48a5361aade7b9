"""The weights of a back-projection against quadratures that are written down here: half gaps,
and Parker's weights.
"""

import math
from functools import cache

import pytest
import torch

from deft.data.phantom import shepp_logan
from deft.operators import Tomography, views
from deft.operators.tomography import backprojection


@cache
def disc(n):
    """1 within a circle of 0.3 of the side, off the middle; pixels at the border are averages."""
    at = (torch.arange(8 * n, dtype=torch.float64) + 0.5) / (8 * n) - 0.5
    inside = ((at - 0.05) ** 2 + (at[:, None] + 0.03) ** 2 < 0.3**2).double()
    return inside.reshape(n, 8, n, 8).mean((1, 3))[None, None]


def chords(operator):
    """The integrals through that disc along the rays of a scan: 2 sqrt(r^2 - distance^2)."""
    points, directions = operator.rays()
    centre = torch.tensor([0.05, 0.03], dtype=torch.float64) * operator.size[0]
    to = centre - points
    distance = to[..., 0] * directions[..., 1] - to[..., 1] * directions[..., 0]
    return 2 * ((0.3 * operator.size[0]) ** 2 - distance**2).clamp(min=0).sqrt()[:, None]


def half_gaps(angles, period=180.0):
    """In radians; equal angles share, and come in any order."""
    turned = [float(a) % period for a in angles]
    places = sorted(set(turned))
    width = {}
    for k, place in enumerate(places):
        before, after = (
            places[k - 1] - (period if k == 0 else 0),
            places[(k + 1) % len(places)] + (period if k + 1 == len(places) else 0),
        )
        width[place] = (after - before) / 2 / turned.count(place)
    return torch.tensor([math.radians(width[place]) for place in turned], dtype=torch.float64)


def parker(count, span, gamma):
    """Of `count` views over an arc of 180 degrees + 2 delta, each in the middle of its part:
    (views, rays).
    """
    delta = math.radians(span - 180) / 2
    rows = []
    for k in range(count):
        beta, row = math.radians(span / count * (k + 0.5)), []
        for g in gamma.tolist():
            if beta <= 2 * delta + 2 * g:
                row.append(math.sin(math.pi / 4 * beta / (delta + g)) ** 2)
            elif beta >= math.pi + 2 * g:
                row.append(math.sin(math.pi / 4 * (math.pi + 2 * delta - beta) / (delta - g)) ** 2)
            else:
                row.append(1.0)
        rows.append(row)
    return torch.tensor(rows, dtype=torch.float64)


def scan(n, angles, **settings):
    operator = Tomography(n, angles, filter="ramp", **settings).double()
    operator.angles = torch.as_tensor(angles, dtype=torch.float64)[None]
    return operator


def compare(operator, x, widths, shares, monkeypatch, noise=0.0):
    """Level and error of `lift`, and those with the weights given, are within what is asked for."""
    y = chords(operator)
    y = y + noise * torch.randn_like(y)
    found = operator.lift(y)
    with monkeypatch.context() as patch:
        patch.setattr(backprojection, "widths", lambda angles, geometry: widths[None])
        patch.setattr(
            backprojection,
            "redundancy",
            lambda angles, geometry, like: None if shares is None else shares[None],
        )
        reference = operator.lift(y)
    inside = x > 0.999
    assert 0.9 < float(found[inside].mean()) < 1.1
    assert float((found - x).norm()) <= 1.1 * float((reference - x).norm())


def random_angles(count, over, seed):
    return over * torch.rand(
        count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


PARALLEL = {
    "even": views(60),
    "repeated": torch.cat([views(60), views(60)]),
    "some repeated": torch.cat([views(60), views(20), views(20)]),
    "opposite": torch.cat([views(60), views(60) + 180]),
    "two turns": views(120, 720.0),
    "three turns": views(270, 1080.0),
    "backwards": views(120, -360.0),
    "from below 0": views(90, 180.0, -77.0),
    **{f"{span:g} degrees": views(int(span), span) for span in (200.0, 220.0, 250.0, 300.0, 340.0)},
    "220 degrees, steps that do not divide": views(77, 220.0),
    "quadratic": 180 * torch.linspace(0, 1, 91)[:-1] ** 2,
    "cubic": 180 * torch.linspace(0, 1, 91)[:-1] ** 3,
    "dense and sparse": torch.cat([views(120, 90.0), 90 + views(30, 90.0)]),
    "golden": torch.arange(60) * 111.246,
    "shuffled": views(90)[torch.randperm(90, generator=torch.Generator().manual_seed(0))],
    "some left out": views(90)[torch.arange(90) % 10 != 3],
    "ten degrees left out": torch.cat([views(80, 80.0), 90 + views(90, 90.0)]),
    "pairs": torch.cat([views(45), views(45) + 0.3]),
    **{
        f"random {count}, {seed}": random_angles(count, 180.0, seed)
        for count in (20, 60, 120)
        for seed in range(3)
    },
    "random over a turn": random_angles(90, 360.0, 7),
}


@pytest.mark.parametrize("angles", PARALLEL.values(), ids=list(PARALLEL))
def test_a_parallel_beam(angles, monkeypatch):
    for n in (64, 45):
        operator = scan(n, angles)
        compare(operator, disc(n), half_gaps(operator.angles[0]), None, monkeypatch)


@pytest.mark.parametrize("extra", [0.0, 3.0, 20.0, 60.0, 100.0, 120.0])
@pytest.mark.parametrize(("n", "fan"), [(64, (100.0, 50.0)), (48, (200.0, 0.0))])
def test_a_short_scan_of_a_fan(n, fan, extra, monkeypatch):
    half_fan = math.degrees(math.asin(0.5 * n * math.sqrt(2) / fan[0]))
    span = min(180 + 2 * half_fan + extra, 345.0)
    operator = scan(n, views(150, span, 11.0).double(), fan=fan)
    gamma = (operator._geometry.along_detector(operator.angles) / sum(fan)).atan()
    widths = torch.full((150,), math.radians(span / 150), dtype=torch.float64)
    compare(operator, disc(n), widths, parker(150, span, gamma), monkeypatch, noise=0.1)


@pytest.mark.parametrize(
    "angles",
    [
        views(120, 360.0),
        views(120, 720.0),
        torch.cat([views(90, 360.0), views(90, 360.0)]),
        random_angles(150, 360.0, 3),
        views(118, 354.0),
    ],
    ids=["a turn", "two turns", "repeated", "random", "nearly a turn"],
)
def test_full_turns_of_a_fan(angles, monkeypatch):
    operator = scan(64, angles, fan=(100.0, 50.0))
    shares = torch.full((len(angles), operator.detectors), 0.5, dtype=torch.float64)
    compare(operator, disc(64), half_gaps(operator.angles[0], 360.0), shares, monkeypatch)


def test_a_fan_that_sees_some_rays_once_and_some_never():
    """Less than 180 degrees and the fan: what is measured twice still counts once, and the
    middle, which is seen from everywhere, keeps its level.
    """
    x = disc(64)
    operator = scan(64, views(100, 200.0), fan=(100.0, 50.0))
    found = operator.lift(chords(operator))
    assert 0.9 < float(found[x > 0.999].mean()) < 1.1


class TestWidths:
    def widths(self, angles, fan=None):
        operator = scan(8, angles, fan=fan)
        return backprojection.widths(operator.angles, operator._geometry)[0].rad2deg()

    def test_what_one_view_stands_for(self):
        """All views of one angle are as one."""
        x = torch.ones(1, 1, 8, 8)
        lifted = [
            Tomography(8, angles).lift(Tomography(8, angles)(x))
            for angles in ([0.0], [0.0, 0.0], [0.0, 180.0], [30.0, 210.0, 390.0])
        ]
        assert float(lifted[0].mean()) > 0.5
        torch.testing.assert_close(lifted[1], lifted[0])
        torch.testing.assert_close(lifted[2], lifted[0])
        assert float(lifted[3].mean()) > 0.5

    @pytest.mark.parametrize(
        ("count", "span"), [(60, 90.0), (30, 90.0), (60, 120.0), (60, 140.0), (12, 90.0)]
    )
    def test_holes_are_not_filled(self, count, span):
        torch.testing.assert_close(
            self.widths(views(count, span)),
            torch.full((count,), span / count, dtype=torch.float64),
            atol=1e-4,
            rtol=0,
        )
        torch.testing.assert_close(
            self.widths(torch.cat([views(count, span)] * 2)).sum(),
            torch.tensor(span, dtype=torch.float64),
            atol=1e-3,
            rtol=0,
        )

    def test_two_holes(self):
        angles = torch.cat([views(40, 40.0), 90 + views(50, 50.0)])
        torch.testing.assert_close(self.widths(angles), torch.ones(90, dtype=torch.float64))

    def test_random_gaps_are_none(self):
        for seed in range(20):
            assert float(self.widths(random_angles(40, 180.0, seed)).sum()) == pytest.approx(180.0)

    def test_no_order_and_no_turn_changes_them(self):
        angles = random_angles(30, 180.0, 5)
        order = torch.randperm(30)
        widths = self.widths(angles)
        torch.testing.assert_close(self.widths(angles[order]), widths[order])
        torch.testing.assert_close(
            self.widths(angles + 180.0 * torch.randint(-3, 3, (30,))), widths
        )

    def test_around_zero(self):
        """Angles that differ by rounding are one, also where one of them is below 0."""
        widths = self.widths([0.0, 60.0, 120.0, -1e-6, 180.0 - 1e-6])
        torch.testing.assert_close(
            widths,
            torch.tensor([20.0, 60.0, 60.0, 20.0, 20.0], dtype=torch.float64),
            atol=1e-4,
            rtol=0,
        )

    def test_the_rays_of_a_fan_that_are_measured_twice_share(self):
        """w(theta, gamma) + w(theta + 180 - 2 gamma, -gamma) = 1, for every scan that sees both."""
        operator = scan(32, views(1150, 230.0), fan=(60.0, 60.0), detectors=41)
        gamma = operator._geometry.fan_angles(operator.angles).rad2deg()
        shares = backprojection.redundancy(operator.angles, operator._geometry, operator.angles)[0]
        for view, ray in ((50, 3), (5, 20), (200, 30), (75, 38), (100, 10)):
            other = operator.angles[0, view] + 180 - 2 * gamma[ray]
            if 0 < float(other) < 229.9:
                opposite = shares[int((other * 5).round()), 40 - ray]
                assert float(shares[view, ray] + opposite) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(("count", "span"), [(60, 180.0), (20, 180.0), (60, 90.0)])
def test_what_shipped_h_transforms_read(count, span):
    """The geometries of h-ct-128: even views, each of which stands for span / count, as when
    they were trained.
    """
    operator = Tomography(32, views(count, span))
    widths = backprojection.widths(operator.angles, operator._geometry)[0]
    torch.testing.assert_close(
        widths, torch.full((count,), math.radians(span / count), dtype=torch.float64)
    )


def test_each_signal_has_weights_of_its_own():
    angles = torch.stack([views(30), views(30, 90.0), views(30, 360.0)])
    x = shepp_logan(24)[None, None].expand(3, 1, 24, 24)
    together = Tomography(24, angles).lift(Tomography(24, angles)(x))
    for i in range(3):
        alone = Tomography(24, angles[i])
        torch.testing.assert_close(together[i : i + 1], alone.lift(alone(x[:1])))
