import pytest

from deft.studies.words import number, some


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 samples"), (1, "1 sample"), (2, "2 samples"), (1000, "1,000 samples")],
)
def test_a_number_agrees_with_its_noun(count, said):
    assert number(count, "sample") == said


def test_a_long_list_is_cut():
    assert some(["a", "b"]) == "a, b"
    assert some([str(i) for i in range(12)]).endswith("9 and 2 more")
