import copy
import json
import threading

import pytest
import torch

import deft
from deft import signals
from deft.errors import DeftWarning, InvalidInput, PriorNotDifferentiable, PriorUnavailable
from deft.htransforms.dps import DPS
from deft.likelihoods import GaussianLikelihood, Observation
from deft.operators.identity import Identity
from deft.posterior import Posterior
from deft.priors.callable import CallablePrior
from deft.priors.identity import same_identity
from deft.priors.remote import RemotePrior, wire
from deft.priors.remote.card import Limits, served_card
from deft.priors.remote.connection import MARK, address
from deft.schedules import VPLinear
from deft.serving import running
from tests.contracts.prior import PriorContract
from tests.serving.served import TOKEN, answering, labelled, network, noisy, plain


class TestContract(PriorContract):
    tolerance = 1e-6  # single precision

    @pytest.fixture(autouse=True)
    def _served(self):
        with running(network(), token=TOKEN) as (url, _):
            self.url = url
            yield

    def prior(self):
        return RemotePrior(self.url, token=TOKEN)


class TestLabelled(PriorContract):
    tolerance = 1e-6

    @pytest.fixture(autouse=True)
    def _served(self):
        with running(labelled()) as (url, _):
            self.url = url
            yield

    def prior(self):
        return RemotePrior(self.url).given(class_labels=torch.tensor([2, 0, 1]))


def test_it_says_what_the_prior_says_and_is_the_same_prior():
    local = network()
    with running(local, batch_size=4) as (url, served):
        prior = RemotePrior(url)
        assert same_identity(prior.identity(), local.identity()) == []
        for name in ("name", "event_shape", "scale", "value_range", "num_parameters", "event_axes"):
            assert getattr(prior, name) == getattr(local, name)
        assert list(prior.parameters()) == []
        x_t, t = noisy(local, 10)
        assert torch.equal(prior.denoise(x_t, t), torch.cat([local.denoise(a, b) for a, b in
            zip(x_t.split(4), t.split(4))]))  # fmt: skip
        assert (served.requests, served.signals, prior.counts.calls) == (3, 10, 3)
        assert prior.counts.signals == 10
        assert prior.counts.bytes_sent > x_t.nbytes < prior.counts.bytes_received
        assert len(prior.denoise(x_t[:0], t[:1])) == 0


def test_samples_are_those_of_the_local_prior():
    local = network()
    with running(local) as (url, _):
        sampler = deft.DPMSolver(steps=3)
        found, known = (sampler(p, 2, seed=1) for p in (RemotePrior(url), local))
    torch.testing.assert_close(found, known, rtol=0, atol=1e-5)


def test_methods_that_differentiate_it_are_refused():
    with running(plain()) as (url, _):
        prior = RemotePrior(url)
        observation = Observation(torch.zeros(1, 1, 4, 4), GaussianLikelihood(Identity(), 0.1))
        with pytest.raises(PriorNotDifferentiable, match="DPS needs gradients through"):
            Posterior(prior, DPS(1.0), observation)


def test_its_context_goes_over():
    local = labelled()
    with running(local, batch_size=2) as (url, _):
        x_t, t = noisy(local, 5)
        for labels in (torch.tensor([3]), torch.tensor([4, 3, 2, 1, 0])):
            found = RemotePrior(url).given(class_labels=labels)
            torch.testing.assert_close(
                found.denoise(x_t, t), local.given(class_labels=labels).denoise(x_t, t)
            )
        with pytest.raises(InvalidInput, match="class_labels"):
            RemotePrior(url).given(class_labels=torch.tensor([torch.nan]))
        with pytest.raises(InvalidInput, match="class_labels: got nothing"):
            RemotePrior(url).denoise(x_t, t)


def test_copies_count_together_and_follow_a_device():
    with running(plain()) as (url, _):
        prior = RemotePrior(url)
        copied = copy.deepcopy(prior)
        copied.denoise(*noisy(prior))
        assert prior.counts.calls == 1
        assert prior.device == torch.device("cpu")
        assert prior.to("meta").device == torch.device("meta")


def test_tokens(monkeypatch, tmp_path):
    with running(plain(), token=TOKEN) as (url, _):
        for wrong, given in ((None, "none"), ("another-token", "does not accept")):
            with pytest.raises(InvalidInput, match=f"token: got .*{given}"):
                RemotePrior(url, token=wrong)
        monkeypatch.setenv("DEFT_TOKEN", TOKEN)
        assert RemotePrior(url).name == "plain"
        monkeypatch.setenv("DEFT_TOKEN_FILE", str(tmp_path / "token"))
        with pytest.raises(InvalidInput, match="DEFT_TOKEN_FILE"):
            RemotePrior(url)
        (tmp_path / "token").write_text(f"{TOKEN}\n")
        monkeypatch.delenv("DEFT_TOKEN")
        assert RemotePrior(url).name == "plain"
        for text in ("short", "two words of it", "line\nline-line", "\u00e9" * 20):
            (tmp_path / "token").write_text(text)
            with pytest.raises(InvalidInput) as raised:
                RemotePrior(url)
            assert text not in str(raised.value)


def test_a_token_over_http_to_another_machine_is_warned_about():
    with pytest.warns(DeftWarning, match="over http"), pytest.raises(PriorUnavailable):
        RemotePrior("http://127.0.0.1.invalid:9", token=TOKEN, timeout=2)


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8000",
        "ftp://127.0.0.1",
        "http://",
        "http://127.0.0.1:70000",
        "http://127.0.0.1:abc",
        "http://a b:80",
        "http://[::1",
        "http://host/?token=secret",
        "http://host\r\nX: y",
        "",
    ],
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(InvalidInput, match="url"):
        address(url)


def test_a_password_in_an_address_is_refused_and_not_repeated():
    with pytest.raises(InvalidInput, match="without a user") as raised:
        address("http://user:secret@host:80")
    assert "secret" not in str(raised.value)


def served_wrong(answer):
    """A server with an honest card, whose estimates are what a function makes of x_t."""
    prior = plain()
    card = json.dumps(served_card(prior, Limits.of(prior, 8))).encode()

    def said(path, body):
        if path == "/card":
            return 200, {MARK: "a"}, card
        found = answer(wire.unpacked(body)["x_t"])
        return found if isinstance(found, tuple) else (200, {MARK: "a"}, found)

    return answering(said)


@pytest.mark.parametrize(
    ("answer", "given"),
    [
        (lambda x_t: wire.packed({"x_0_hat": x_t[:, :, :2]}), r"\(3, 1, 2, 4\)"),
        (lambda x_t: wire.packed({"x_0_hat": x_t[:1]}), r"\(1, 1, 4, 4\)"),
        (lambda x_t: wire.packed({"x_0_hat": x_t.half()}), "float16"),
        (lambda x_t: wire.packed({"x": x_t}), "x"),
        (lambda x_t: wire.packed({"x_0_hat": x_t * torch.nan}), "NaN or infinite"),
        (lambda x_t: wire.packed({"x_0_hat": x_t})[:-1], "bytes"),
        (lambda x_t: b"<html>", "6 bytes"),
        (lambda x_t: bytes(10_000_000), "more than"),
        (lambda x_t: (200, {MARK: "b"}, wire.packed({"x_0_hat": x_t})), "by another prior"),
        (lambda x_t: (200, {}, wire.packed({"x_0_hat": x_t})), "by another prior"),
    ],
)
def test_answers_that_are_none(answer, given):
    with served_wrong(answer) as url:
        prior = RemotePrior(url)
        with pytest.raises(PriorUnavailable, match=given):
            prior.denoise(*noisy(prior))


@pytest.mark.parametrize(
    ("answer", "given"),
    [
        ((200, {}, b"<html>hello</html>"), "something else is served"),
        ((200, {}, b"{}"), "something else is served"),
        ((404, {}, b"not here"), "it answered 404"),
        ((302, {"Location": "http://elsewhere/"}, b""), "redirects to http://elsewhere/"),
        ((200, {}, b"[" * 100_000), "something else is served"),
    ],
)
def test_what_is_no_server_of_a_prior(answer, given):
    with answering(lambda path, body: answer) as url, pytest.raises(InvalidInput, match=given):
        RemotePrior(url)


def test_a_card_builds_nothing_but_a_schedule():
    card = served_card(plain(), Limits.of(plain(), 8))
    for schedule in ({"class": "os.system", "args": {}}, {"class": "UNetPrior", "args": {}}):
        said = json.dumps({**card, "schedule": schedule}).encode()
        with (
            answering(lambda path, body, said=said: (200, {}, said)) as url,
            pytest.raises(InvalidInput, match="something else is served"),
        ):
            RemotePrior(url)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(status):
    answers = iter([(status, {}, b""), (status, {}, b"")])
    with served_wrong(lambda x_t: next(answers, None) or wire.packed({"x_0_hat": x_t})) as url:
        prior = RemotePrior(url)
        with pytest.warns(UserWarning, match=f"it answered {status}"):
            prior.denoise(*noisy(prior))
        assert (prior.counts.calls, prior.counts.retries) == (1, 2)


def test_a_prior_that_fails_is_not_asked_again(caplog):
    def broken(x_t, t):
        raise KeyError("within")

    prior = CallablePrior(broken, VPLinear(), (1, 4, 4), 1.0, identity="broken")
    with running(prior) as (url, _):
        asked = RemotePrior(url)
        with pytest.raises(PriorUnavailable, match=r"the prior at http.*: got KeyError"):
            asked.denoise(*noisy(prior))
    assert asked.counts.retries == 0
    assert "within" in caplog.text


def test_a_server_that_is_gone():
    with running(plain()) as (url, _):
        prior = RemotePrior(url, patience=2)
        prior.denoise(*noisy(prior))
    with (
        pytest.warns(UserWarning, match="trying again for 2 s"),
        pytest.raises(PriorUnavailable, match="did not answer for 2 s"),
    ):
        prior.denoise(*noisy(prior))
    with pytest.raises(PriorUnavailable, match="Start a server with"):
        RemotePrior(url)


def test_a_server_that_comes_back_is_asked_on():
    with running(plain()) as (url, _):
        prior = RemotePrior(url)
        expected = prior.denoise(*noisy(prior))
    found = []
    thread = threading.Thread(target=lambda: found.append(prior.denoise(*noisy(prior))))
    thread.start()
    with running(plain(), port=int(url.rpartition(":")[2])):
        thread.join()
    assert torch.equal(found[0], expected)


def test_a_signal_ends_the_waiting(monkeypatch):
    with running(plain()) as (url, _):
        prior = RemotePrior(url)
    with signals.noted() as asked:
        asked.number = 15
        assert signals.pending()
        with pytest.raises(PriorUnavailable, match="stopped by a signal"):
            prior.denoise(*noisy(prior))
    assert not signals.pending()
