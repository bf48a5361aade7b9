"""Leave-one-out distances in one pass, beside leaving each row out."""

import math

import pytest
import torch

from deft.metrics.alarm.scale import strangeness, studentised

DOUBLE = torch.float64


def table(n=12, columns=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(n, columns, generator=generator, dtype=DOUBLE)
    x = torch.randn(n, 1, generator=generator, dtype=DOUBLE)
    return rows, torch.cat([torch.ones(n, 1, dtype=DOUBLE), x], 1)


def without(rows, design, i):
    """The deleted residual of row i, the others' covariance, and 1 - leverage."""
    keep = [j for j in range(len(rows)) if j != i]
    fit = torch.linalg.lstsq(design[keep], rows[keep]).solution
    e = rows[keep] - design[keep] @ fit
    covariance = e.T @ e / (len(keep) - design.shape[1])
    inverse = torch.linalg.inv(design.T @ design)
    return rows[i] - design[i] @ fit, covariance, 1 - float(design[i] @ inverse @ design[i])


def test_studentised_residuals_are_those_of_leaving_out():
    rows, design = table()
    found = studentised(rows, design)
    for i in range(len(rows)):
        gone, covariance, free = without(rows, design, i)
        expected = gone * math.sqrt(free) / covariance.diagonal().sqrt()
        assert torch.allclose(found[i], expected, rtol=1e-6)


def test_distances_of_a_group_are_those_of_leaving_out():
    rows, design = table()
    found = strangeness(rows, design, [[0, 1, 2], [1]])
    for i in range(len(rows)):
        gone, covariance, free = without(rows, design, i)
        for place, group in enumerate(([0, 1, 2], [1])):
            part = gone[group] @ torch.linalg.inv(covariance[group][:, group]) @ gone[group]
            d = len(group)
            share = float(part) * free / d
            z = (share ** (1 / 3) - 1 + 2 / (9 * d)) / math.sqrt(2 / (9 * d))
            assert float(found[i, place]) == pytest.approx(z, rel=1e-5, abs=1e-6)


def test_z_is_about_standard_normal_whatever_the_dimension():
    rows, _ = table(4000, 6)
    design = torch.ones(4000, 1, dtype=DOUBLE)
    z = strangeness(rows, design, [[0], [0, 1, 2], [0, 1, 2, 3, 4, 5]])
    assert z.mean(0).tolist() == pytest.approx([0, 0, 0], abs=0.1)
    assert z.std(0).tolist() == pytest.approx([1, 1, 1], abs=0.1)


def test_rows_in_another_order_have_the_same_z():
    rows, design = table()
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(1))
    groups = [[0], [1, 2]]
    z = strangeness(rows, design, groups)[order]
    assert torch.allclose(strangeness(rows[order], design[order], groups), z, rtol=1e-6)


def test_a_column_that_is_constant_says_nothing():
    rows, design = table()
    rows = torch.cat([rows, torch.full((len(rows), 1), 2.0, dtype=DOUBLE)], 1)
    assert not studentised(rows, design)[:, 3].any()
    assert bool(strangeness(rows, design, [[3], [0, 3]]).isfinite().all())
