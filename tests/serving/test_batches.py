import threading

import pytest
import torch

from deft.errors import InvalidInput
from deft.serving.batches import MOST_WAITING, Asked, Batches, Busy, check_answer
from tests.serving.served import labelled, network, noisy, plain


def ask(batches, x_t, t, **context):
    return batches.ask(Asked(x_t, t, context))


def test_requests_that_go_together_are_one_evaluation():
    prior = network()
    x_t, t = noisy(prior, 6)
    batches = Batches(prior, signals=6, wait=60)
    found = [ask(batches, x_t[i : i + 2], t[i : i + 2]) for i in (0, 2, 4)]
    torch.testing.assert_close(torch.cat([one.result(60) for one in found]), prior.denoise(x_t, t))
    assert (batches.served.forwards, batches.served.requests, batches.served.signals) == (1, 3, 6)
    batches.close()


def test_each_keeps_its_context_and_kinds_are_kept_apart():
    prior = labelled()
    x_t, t = noisy(prior, 4)
    batches = Batches(prior, signals=4, wait=0.05)
    labels = torch.tensor([3]), torch.tensor([1, 2])
    found = [
        ask(batches, x_t[:2], t[:1], class_labels=labels[0]),
        ask(batches, x_t[2:], t[2:], class_labels=labels[1]),
        ask(batches, x_t[:2], t[:1].double(), class_labels=labels[0]),
    ]
    answers = [one.result(60) for one in found]
    expected = 0.5 * x_t + torch.tensor([3, 3, 1, 2.0]).reshape(-1, 1, 1, 1)
    torch.testing.assert_close(torch.cat(answers[:2]), expected)
    torch.testing.assert_close(answers[2], expected[:2])
    assert batches.served.forwards == 2
    batches.close()


def test_the_fault_of_one_is_not_that_of_the_others():
    prior = labelled()
    x_t, t = noisy(prior, 4)
    batches = Batches(prior, signals=4, wait=60)
    good = ask(batches, x_t[:2], t[:1], class_labels=torch.zeros(2, 1))
    bad = ask(batches, x_t[:2], t[:1], class_labels=torch.zeros(3, 1))
    assert good.result(60).shape == (2, 1, 4, 4)
    with pytest.raises(RuntimeError):
        bad.result(60)
    batches.close()


def test_too_many_are_refused_and_what_waits_at_the_end_is_cancelled():
    began, go = threading.Event(), threading.Event()

    def slow(x_t):
        began.set()
        go.wait(60)
        return x_t

    prior = plain()
    prior.denoiser = lambda x_t, t: slow(x_t)
    batches = Batches(prior, signals=1, wait=0)
    x_t, t = noisy(prior, 1)
    first = ask(batches, x_t, t)
    began.wait(60)
    waiting = [ask(batches, x_t, t) for _ in range(MOST_WAITING)]
    waiting[0].cancel()
    with pytest.raises(Busy):
        ask(batches, x_t, t)
    closing = threading.Thread(target=batches.close)
    closing.start()
    go.set()
    closing.join(60)
    assert torch.equal(first.result(60), x_t)
    assert all(one.cancelled() for one in waiting)
    with pytest.raises(Busy):
        ask(batches, x_t, t)


def test_an_estimate_that_is_not_finite_is_no_answer():
    check_answer(torch.zeros(1))
    with pytest.raises(InvalidInput, match="not finite"):
        check_answer(torch.tensor([torch.inf]))
