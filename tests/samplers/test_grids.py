import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deft.errors import InvalidInput
from deft.samplers import daps
from deft.samplers.grids import Karras, LogSNRCurve, UniformLogSNR
from deft.schedules import EDM, VE, VPCosine, VPLinear, VPTabulated
from deft.storage import cards

SCHEDULES = [VPLinear(), VPCosine(), VPTabulated.linear(), VE(), EDM()]


@pytest.mark.parametrize("grid", [LogSNRCurve([-3, 0.5, 6]), Karras(), Karras(0.011, 3000, 20)])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("steps", [1, 2, 4, 30])
def test_grids_start_at_one_and_fall(grid, schedule, steps):
    times = grid.times(schedule, steps)
    assert times.shape == (steps,)
    assert times[0] == 1
    assert bool((times.diff() < 0).all())
    torch.testing.assert_close(schedule.snap(times), times)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-9, 9), min_size=1, max_size=8, unique_by=lambda v: round(v, 2)))
def test_a_curve_is_asked_at_its_own_values(values):
    values, schedule = sorted(values), VPCosine()
    log_snr = schedule.log_snr(LogSNRCurve(values).times(schedule, len(values) + 1))
    assert log_snr[1:].tolist() == pytest.approx(values, abs=1e-6)


def test_a_curve_with_other_steps_is_followed_in_straight_lines():
    schedule, start = VPCosine(-10, 12), -10.0
    log_snr = schedule.log_snr(LogSNRCurve([-4.0, 6.0]).times(schedule, 5))
    assert log_snr.tolist() == pytest.approx([start, -7.0, -4.0, 1.0, 6.0], abs=1e-6)
    even = LogSNRCurve([-1.0, 8.0]).times(schedule, 9)
    torch.testing.assert_close(even, UniformLogSNR(8.0).times(schedule, 9), rtol=0, atol=1e-9)


def test_values_beyond_the_schedule_are_cut_to_it():
    times = LogSNRCurve([0.0, 50.0]).times(VPCosine(), 3)
    assert float(times[-1]) == 0


@pytest.mark.parametrize("values", [[], [1.0, 1.0], [2.0, 1.0], [0.0, float("nan")]])
def test_what_is_no_curve_is_refused(values):
    with pytest.raises(InvalidInput) as raised:
        LogSNRCurve(values)
    assert raised.value.what == "values"


def test_a_curve_behind_the_noise_end_is_refused_when_the_schedule_is_known():
    with pytest.raises(InvalidInput, match="the noise end of VPLinear"):
        LogSNRCurve([-14.0, 0.0]).times(VPLinear(), 3)


def test_karras_is_that_of_edm_and_rho_moves_it():
    torch.testing.assert_close(
        EDM().sigma(Karras(0.002, 80.0).times(EDM(), 18)),
        EDM().sigma(torch.linspace(1, 0, 18, dtype=torch.float64)),
    )
    schedule = VPCosine()
    even, bent = (
        schedule.log_snr(Karras(0.011, 1000, rho).times(schedule, 9)) for rho in (1000.0, 3.0)
    )
    torch.testing.assert_close(even.diff()[1:], even.diff()[1:2].expand(7), rtol=0.02, atol=0)
    assert float(bent[4]) < float(even[4])  # more of the steps at high noise
    with pytest.raises(InvalidInput, match="rho"):
        Karras(rho=0.5)
    with pytest.raises(InvalidInput, match="low < high"):
        Karras(1.0, 0.5)
    with pytest.raises(InvalidInput, match="where the grid begins"):
        Karras(200.0, 300.0).times(EDM(), 5)


def test_karras_is_found_where_files_of_earlier_versions_name_it():
    assert daps.Karras is Karras
    old = {"class_path": "deft.samplers.daps.Karras", "init_args": {"low": 0.2}}
    assert cards.build(old, "time grid", where="grid").low == 0.2


def test_a_curve_is_built_from_a_card():
    card = {"class": "LogSNRCurve", "args": {"values": [-3.0, 0.0, 4.5]}}
    assert cards.build(card, "time grid", where="grid").values == (-3.0, 0.0, 4.5)
