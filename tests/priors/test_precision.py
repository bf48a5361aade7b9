"""Which precision is faster: with clocks that the tests turn themselves."""

import pytest
import torch

from deft.errors import InvalidInput
from deft.priors import precision, zoo
from deft.priors.precision import Choice, chosen, faster, fastest_precision
from tests.training import small


class Clock:
    """A clock that calls turn."""

    def __init__(self):
        self.now, self.calls = 0.0, []

    def __call__(self):
        return self.now

    def takes(self, name, first, then):
        """A call that takes `first` seconds, and `then` every time after."""

        def call():
            self.now += then if name in self.calls else first
            self.calls.append(name)

        return call


@pytest.mark.parametrize(
    ("fp32", "bf16", "expected"), [(2.0, 1.0, "bf16"), (1.0, 15.0, "fp32"), (1.0, 1.0, "fp32")]
)
def test_the_faster_one(fp32, bf16, expected):
    clock = Clock()
    choice = faster(clock.takes("fp32", 9, fp32), clock.takes("bf16", 9, bf16), lambda: None, clock)
    assert choice == Choice(fp32, bf16)
    assert choice.precision == expected
    assert clock.calls == ["fp32", "fp32", "bf16", "bf16"]


def test_what_was_only_asked_for_counts_once_it_is_done():
    clock = Clock()
    late = iter([0, 4, 0, 1])

    def wait():
        clock.now += next(late)

    assert faster(lambda: None, lambda: None, wait, clock) == Choice(4, 1)


@pytest.mark.parametrize("error", [RuntimeError, NotImplementedError])
def test_bf16_that_does_not_run(error):
    def refuses():
        raise error

    choice = faster(lambda: None, refuses, lambda: None, Clock())
    assert choice.precision == "fp32"
    assert "does not run" in str(choice)


def test_the_numbers_are_said():
    assert str(Choice(0.0123, 0.2)) == "fp32: a forward takes 12.3 ms in fp32, 200 ms in bf16"


@pytest.mark.parametrize("before", ["fp32", "bf16"])
def test_a_prior_stays_as_it_is(before):
    prior = zoo.load("digits-32", precision=before)
    seen = []
    original = prior.network.forward
    prior.network.forward = lambda *args: (
        seen.append((prior.precision, torch.is_autocast_enabled("cpu"))),
        original(*args),
    )[1]
    fastest_precision(prior, batch=1)
    assert seen == [("fp32", False)] * 2 + [("fp32", True)] * 2
    assert prior.precision == before


@pytest.mark.parametrize(("fp32", "bf16", "expected"), [(2.0, 1.0, "bf16"), (1.0, 15.0, "fp32")])
def test_auto_says_what_it_took(monkeypatch, capsys, fp32, bf16, expected):
    monkeypatch.setattr(precision, "fastest_precision", lambda prior: Choice(fp32, bf16))
    assert zoo.load("digits-32", precision="auto").precision == expected
    assert f"precision {expected}: a forward takes" in capsys.readouterr().out


def test_what_is_said_is_taken():
    said = []
    assert chosen(small.prior(), "bf16", said.append) == "bf16"
    assert chosen(small.prior(), "fp32", said.append) == "fp32"
    assert not said


def test_another_word():
    with pytest.raises(InvalidInput) as raised:
        zoo.load("digits-32", precision="fp16")
    assert raised.value.given == "fp16"
    assert "auto" in raised.value.expected


class TestARun:
    @pytest.fixture(autouse=True)
    def clocks(self, monkeypatch):
        self.measured = iter([Choice(2.0, 1.0), Choice(1.0, 2.0)])
        monkeypatch.setattr(precision, "fastest_precision", lambda prior: next(self.measured))

    def test_computes_on_as_it_began(self, tmp_path):
        assert [precision.settled(small.prior(), "auto", tmp_path / "run") for _ in range(2)] == [
            "bf16",
            "bf16",
        ]

    @pytest.mark.parametrize(
        "text",
        ["", "{", "[]", "{}", '{"precision": "fp16"}', '{"precision": "auto"}', '{"precision": 3}'],
    )
    def test_refuses_what_no_run_kept(self, tmp_path, text):
        (tmp_path / precision.KEPT).write_text(text)
        with pytest.raises(InvalidInput):
            precision.settled(small.prior(), "auto", tmp_path)

    def test_of_several_processes_says_which(self, tmp_path, monkeypatch):
        monkeypatch.setenv("WORLD_SIZE", "2")
        with pytest.raises(InvalidInput):
            precision.settled(small.prior(), "auto", tmp_path)
        assert precision.settled(small.prior(), "bf16", tmp_path) == "bf16"
