"""Traces as SVG: which residues are where, and what is the motif's."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from deft.reports.protein.drawing import MOTIF, SCAFFOLD, axes_of, contact_map, two_sides
from tests.data.proteins.made import helix

SVG = "{http://www.w3.org/2000/svg}"


def rotation(seed):
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    return q * np.linalg.det(q)


def test_axes_are_a_right_handed_frame_whatever_the_frame_of_the_file():
    x = np.array(helix(20)) * [1.0, 1.3, 1.0]
    for seed in range(5):
        turned = x @ rotation(seed).T + seed
        axes = axes_of(turned)
        np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(axes) == pytest.approx(1.0)
        same = (turned - turned.mean(0)) @ axes.T
        np.testing.assert_allclose(same, (x - x.mean(0)) @ axes_of(x).T, atol=1e-6)


def test_two_sides_show_every_residue_once_in_its_colour():
    x, motif = np.array(helix(20)), range(5, 9)
    for picture in two_sides(x, motif):
        paths = ElementTree.fromstring(picture).findall(f".//{SVG}path")
        ends = {MOTIF: 0, SCAFFOLD: 0}
        for path in paths:
            ends[path.get("stroke")] += path.get("d").count("M")
        assert sum(ends.values()) == 4 * 19
        assert ends[MOTIF] == 16
        numbers = [float(v) for path in paths for v in re.findall(r"-?[\d.]+", path.get("d"))]
        assert min(numbers) >= 0
        assert max(numbers) <= 200


def test_what_is_near_is_drawn_last_and_thicker():
    front, _ = two_sides(np.array(helix(30)), [])
    paths = ElementTree.fromstring(front).findall(f".//{SVG}path")
    widths = [float(path.get("stroke-width")) for path in paths]
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]


def test_front_and_side_share_the_longest_axis():
    x = np.zeros((8, 3))
    x[:, 0] = np.arange(8) * 3.8
    x[::2, 1] = 1.0
    front, side = two_sides(x, [])
    across = [
        {round(float(v)) for v in re.findall(r"[ML](-?[\d.]+) ", picture)}
        for picture in (front, side)
    ]
    assert across[0] == across[1]


def test_the_contacts_of_a_helix_are_three_and_four_apart():
    x = np.array(helix(12))
    found = ElementTree.fromstring(contact_map(x, [0, 1, 2, 3])).findall(f"{SVG}path")
    cells = {
        path.get("fill"): {(int(i), int(j)) for j, i in re.findall(r"M(\d+) (\d+)", path.get("d"))}
        for path in found
    }
    apart = {abs(i - j) for i, j in cells[SCAFFOLD]}
    distances = np.linalg.norm(x[:, None] - x[None], axis=-1)
    assert apart == {k for k in range(3, 12) if distances[0, k] < 8}
    assert cells[MOTIF] == {(i, i) for i in range(4)} | {(0, 3), (3, 0)}
    assert not cells[SCAFFOLD] & cells[MOTIF]
