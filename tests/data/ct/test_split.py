import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deft.data import Slices, split_patients
from deft.data.ct.split import patient_names
from deft.errors import InvalidInput
from tests.data.slices import stack


class TestSplit:
    def test_no_patient_is_in_two_sets(self):
        patients = [f"p{i % 11}" for i in range(100)]
        sets = split_patients(patients, [0.7, 0.15, 0.15])
        assert sorted(i for chosen in sets for i in chosen) == list(range(100))
        seen = [{patients[i] for i in chosen} for chosen in sets]
        assert not seen[0] & seen[1]
        assert not seen[0] & seen[2]
        assert not seen[1] & seen[2]
        assert abs(len(sets[0]) - 70) <= 10

    def test_few_long_series_do_not_make_a_set(self):
        """Two of 87 patients have 70 % of the slices: a set of them alone would have its share
        of slices, and nothing of the others.
        """
        patients = (
            ["head"] * 107
            + ["abdomen"] * 119
            + [f"p{i}" for i in range(85)]
            + [f"p{i}" for i in range(10)]
        )
        sets = split_patients(patients, [0.7, 0.15, 0.15])
        assert all(len({patients[i] for i in chosen}) > 10 for chosen in sets)

    def test_it_depends_on_the_seed_and_on_nothing_else(self):
        patients = [f"p{i // 3}" for i in range(60)]
        again = split_patients(list(patients), [0.5, 0.5], seed=1)
        assert (
            again
            == split_patients(patients, [0.5, 0.5], seed=1)
            != split_patients(patients, [0.5, 0.5], seed=2)
        )

    def test_one_patient_with_most_of_the_slices(self):
        sets = split_patients(["long"] * 90 + ["a", "b"], [0.8, 0.1, 0.1])
        assert [len(chosen) for chosen in sets] == [90, 1, 1]

    def test_of_slices(self):
        hu = stack()
        train, test = Slices(hu, patients=["a", "a", "b", "b", "c", "c"]).split([2 / 3, 1 / 3])
        assert len(train) == 4
        assert len(test) == 2
        assert not set(train.patients) & set(test.patients)
        assert len(test.take([1])) == 1
        torch.testing.assert_close(test.take([1])[0], test[1])

    def test_errors(self):
        with pytest.raises(InvalidInput, match="3 sets need as many patients; there are 2: a, b"):
            split_patients(["a", "b", "a"], [0.5, 0.25, 0.25])
        with pytest.raises(InvalidInput, match="sum to 1"):
            split_patients(["a", "b"], [0.5, 0.6])
        with pytest.raises(InvalidInput, match="nobody said whose"):
            Slices(stack()).split([0.5, 0.5])


@given(st.lists(st.integers(0, 20), min_size=1, max_size=60), st.integers(2, 4), st.integers(0, 5))
def test_every_slice_is_in_one_set_and_every_patient_too(patients, sets, seed):
    names = [str(p) for p in patients]
    fractions = [1 / sets] * sets
    if len(set(names)) < sets:
        with pytest.raises(InvalidInput):
            split_patients(names, fractions, seed)
        return
    chosen = split_patients(names, fractions, seed)
    assert sorted(i for one in chosen for i in one) == list(range(len(names)))
    assert all(chosen)
    seen = [{names[i] for i in one} for one in chosen]
    assert sum(len(one) for one in seen) == len(set(names))


class TestNames:
    @pytest.mark.parametrize(
        "patients",
        [
            ["a", "", "b"],
            ["a", None, "b"],
            [1.0, math.nan, 2.0],
            np.array([1.0, np.nan, 2.0]),
            ["a", "nan", "b"],
            ["a", "  ", "b"],
        ],
    )
    def test_a_slice_of_nobody(self, patients):
        with pytest.raises(InvalidInput, match="slice 1 has no name") as raised:
            patient_names(patients, 3)
        assert "each slice" in raised.value.expected

    @pytest.mark.parametrize("patients", ["abc", b"abc", 3])
    def test_one_name_for_all(self, patients):
        with pytest.raises(InvalidInput) as raised:
            Slices(stack(n=3), patients=patients)
        assert raised.value.given == patients
        assert raised.value.expected == "one name for each slice"

    def test_space_and_bytes(self):
        assert patient_names([" a", b"a", 7, np.int64(7), np.str_("b")], 5) == [
            "a",
            "a",
            "7",
            "7",
            "b",
        ]


@pytest.mark.parametrize(
    "fractions",
    [
        [],
        [0.5, math.nan],
        [1.5, -0.5],
        [0.5, 0.6],
        [0.5, 0.5, 0.0],
        ["half", "half"],
        0.5,
        None,
        [math.inf],
    ],
)
def test_shares(fractions):
    with pytest.raises(InvalidInput) as raised:
        split_patients(["a", "b", "c"], fractions)
    assert raised.value.expected == "shares that are positive and sum to 1"


def test_a_seed_that_is_no_number():
    with pytest.raises(InvalidInput) as raised:
        split_patients(["a", "b"], [0.5, 0.5], seed=0.5)
    assert raised.value.given == 0.5
