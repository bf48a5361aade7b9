"""The server over HTTP: what it refuses, and what it is still able to answer then."""

import http.client
import json
import socket
import threading
from contextlib import closing

import pytest
import server_fuzz as fuzz
import torch

from deft.errors import InvalidInput
from deft.priors.callable import CallablePrior
from deft.priors.remote import RemotePrior, wire
from deft.priors.rescheduled import Rescheduled
from deft.schedules import VPCosine
from deft.serving import running
from tests.extending.cloud import CloudPrior
from tests.serving.served import SHAPE, TOKEN, labelled, network, noisy, plain

GOOD = wire.packed({"x_t": torch.ones(1, *SHAPE), "t": torch.tensor([0.5])})
BINARY = {"Content-Type": wire.MEDIA_TYPE, "Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def url():
    with running(plain(), token=TOKEN, batch_size=4, timeout=20) as (url, _):
        yield url


def sent(url, method, path, body=None, headers=BINARY):
    """Status, headers and body of the answer to one request."""
    with closing(http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)) as line:
        line.request(method, path, body, headers)
        answer = line.getresponse()
        return answer.status, answer.headers, answer.read()


def body(**tensors):
    given = {"x_t": torch.ones(1, *SHAPE), "t": torch.tensor([0.5]), **tensors}
    return wire.packed({name: value for name, value in given.items() if value is not None})


def test_it_answers(url):
    status, headers, content = sent(url, "POST", "/denoise", GOOD)
    assert (status, headers["Content-Type"]) == (200, wire.MEDIA_TYPE)
    assert torch.equal(wire.unpacked(content)["x_0_hat"], torch.full((1, *SHAPE), 0.5))


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (body(x_t=None), "x_t"),
        (body(t=None), "t"),
        (body(x_t=torch.ones(1, 1, 4, 5)), "x_t"),
        (body(x_t=torch.ones(*SHAPE)), "x_t"),
        (body(x_t=torch.ones(1, *SHAPE).double()), "x_t"),
        (body(x_t=torch.ones(5, *SHAPE)), "x_t"),
        (body(x_t=torch.full((1, *SHAPE), torch.nan)), "x_t"),
        (body(x_t=torch.full((1, *SHAPE), -torch.inf)), "x_t"),
        (body(t=torch.tensor([1.5])), "t"),
        (body(t=torch.tensor([torch.nan])), "t"),
        (body(t=torch.tensor([0.5, 0.5])), "t"),
        (body(t=torch.tensor(0.5)), "t"),
        (body(t=torch.tensor([1])), "t"),
        (body(class_labels=torch.tensor([1])), "body"),
        (GOOD[:-1], "body"),
        (b"", "body"),
        (b"\x00" * 100, "body"),
    ],
)
def test_what_the_prior_cannot_be_asked(url, wrong, what):
    status, _, content = sent(url, "POST", "/denoise", wrong)
    assert (status, json.loads(content)["error"]["what"].split(":")[0]) == (422, what)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/card", {}, 401),
        ("GET", "/counts", {"Authorization": "Bearer wrong"}, 401),
        ("GET", "/openapi.json", {"Authorization": f"Basic {TOKEN}"}, 401),
        ("POST", "/denoise", {"Authorization": "Bearer \xff"}, 401),
        ("GET", "/nowhere", {}, 401),
        ("GET", "/health", {}, 200),
        ("GET", "/health", {"Host": "elsewhere.example"}, 421),
        ("GET", "/health", {"Host": "localhost:1"}, 200),
        ("GET", "/nowhere", BINARY, 404),
        ("GET", "/docs", BINARY, 404),
        ("GET", "/denoise", BINARY, 405),
        ("POST", "/denoise", {**BINARY, "Content-Type": "application/json"}, 415),
        ("POST", "/denoise", {**BINARY, "Content-Length": "99999999"}, 413),
        ("POST", "/denoise", {**BINARY, "Content-Length": "x"}, 400),
    ],
)
def test_what_is_refused_before_anything_is_read(url, method, path, headers, status):
    assert sent(url, method, path, GOOD if method == "POST" else None, headers)[0] == status


def test_a_body_that_is_too_long_without_saying_so(url):
    chunks = iter([GOOD] * 1000)
    try:
        status = sent(url, "POST", "/denoise", chunks)[0]
    except (BrokenPipeError, ConnectionResetError):  # the server had read enough
        status = 413
    assert status == 413
    assert sent(url, "POST", "/denoise", GOOD)[0] == 200


def test_bodies_that_fill_the_memory_together_are_refused(monkeypatch):
    monkeypatch.setattr("deft.serving.app._BODIES", 0)
    with running(plain()) as (url, _):
        assert sent(url, "POST", "/denoise", GOOD)[0] == 429


def test_slow_clients_are_let_go_and_the_others_served():
    with running(plain(), timeout=2, wait=0) as (url, _):
        host, port = url.removeprefix("http://").split(":")
        head = f"POST /denoise HTTP/1.1\r\nHost: {host}\r\nContent-Type: {wire.MEDIA_TYPE}\r\n"
        begun = {
            "nothing": b"",
            "half a head": head.encode(),
            "half a body": f"{head}Content-Length: {len(GOOD)}\r\n\r\n".encode() + GOOD[:9],
        }
        lines = {name: socket.create_connection((host, int(port)), 60) for name in begun}
        for name, content in begun.items():
            lines[name].sendall(content)
        assert RemotePrior(url).name == "plain"
        for name, line in lines.items():
            said = b""
            while chunk := line.recv(1000):
                said += chunk
            assert said[:12] == (b"HTTP/1.1 408" if name == "half a body" else b""), name
            line.close()


def test_two_clients_at_once_are_one_evaluation():
    local = network()
    x_t, t = noisy(local, 4)
    with running(local, batch_size=4, wait=30) as (url, served):
        found = {}
        threads = [
            threading.Thread(
                target=lambda i=i: found.update(
                    {i: RemotePrior(url).denoise(x_t[i : i + 2], t[i : i + 2])}
                )
            )
            for i in (0, 2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (served.requests, served.signals, served.forwards) == (2, 4, 1)
    torch.testing.assert_close(torch.cat([found[0], found[2]]), local.denoise(x_t, t))


def test_values_that_overflow_are_refused():
    with running(plain(factor=2.0)) as (url, _):
        wrong = body(x_t=torch.full((1, *SHAPE), 3e38))
        assert sent(url, "POST", "/denoise", wrong)[0] == 422


def test_fuzzed_requests_leave_it_as_it_was(url):
    """A short form of benchmarks/studies/server_fuzz.py."""
    found = fuzz.mutated(url, TOKEN, GOOD, 150, seed=0) + fuzz.generated(url, TOKEN, 40)
    assert len(found) >= 190
    assert not [status for status in found if status >= 500]
    assert {200, 422} <= set(found)
    test_it_answers(url)


@pytest.mark.parametrize(
    "prior",
    [
        lambda: Rescheduled(plain(), VPCosine(-9, 9)),
        CloudPrior,
    ],
)
def test_what_a_card_cannot_carry_over_is_not_served(prior):
    with pytest.raises(InvalidInput, match="prior: got"), running(prior()):
        pass


def test_addresses_and_tokens():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for settings, what in (
            ({"port": taken.getsockname()[1]}, "port"),
            ({"port": 70_000}, "port"),
            ({"host": "0.0.0.0"}, "token"),
            ({"host": "203.0.113.7", "token": TOKEN}, "host"),
            ({"batch_size": 0}, "batch_size"),
            ({"timeout": 0}, "timeout"),
            ({"wait": -1}, "wait"),
            ({"wait": 60}, "wait"),
            ({"megabytes": 1e-6}, "megabytes"),
        ):
            with pytest.raises(InvalidInput, match=what), running(plain(), **settings):
                pass


def test_a_context_that_is_wrong_is_refused():
    with running(labelled(), batch_size=4) as (url, _):
        two = torch.ones(2, *SHAPE)
        for labels in (torch.ones(3), torch.tensor(1), torch.tensor([torch.nan])):
            wrong = body(x_t=two, class_labels=labels)
            assert sent(url, "POST", "/denoise", wrong)[0] == 422
        assert sent(url, "POST", "/denoise", body(x_t=two, class_labels=torch.ones(2)))[0] == 200


def test_without_the_packages_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "uvicorn", None)
    with (
        pytest.raises(InvalidInput, match=r"pip install 'deft-diffusion\[serve\]'"),
        running(CallablePrior(lambda x_t, t: x_t, VPCosine(), SHAPE, 1.0)),
    ):
        pass
