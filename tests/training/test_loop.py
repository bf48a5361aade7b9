import errno
import json
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from deft import signals
from deft.errors import CheckpointError, FolderInUse, InvalidInput, OutOfMemory, TrainingDiverged
from deft.htransforms.base import HTransform
from deft.noise import Noise
from deft.storage import lock
from deft.storage import tensors as files
from deft.training.base import Objective
from deft.training.batch import Batch, Loss
from deft.training.denoising import DenoisingScoreMatching
from deft.training.loop import train
from deft.training.run import Losses
from deft.training.sources import Images
from deft.training.state import KIND, StateFile
from tests.training import small


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The final weights of the run that nothing disturbed, and its folder."""
    out = tmp_path_factory.mktemp("whole")
    h = small.h_transform()
    result = small.run(h, out=out)
    return h.state_dict(), out, result


class Broken(Objective):
    """An objective that goes wrong once, at a given call."""

    def __init__(self, action, at: int) -> None:
        super().__init__()
        self.inner, self.action, self.at, self.calls = small.objective(), action, at, 0

    def loss(self, h_transform: HTransform, prior, batch: Batch) -> Loss:
        self.calls += 1
        loss = self.inner.loss(h_transform, prior, batch)
        return self.action(loss) if self.calls == self.at else loss

    def where(self, prior, shown) -> str:
        return self.inner.where(prior, shown)


def run_broken(objective: Objective, **settings):
    settings = {"steps": 6, "batch_size": 4, "save_every": 2, "progress": False, **settings}
    return train(small.h_transform(), small.prior(), objective, small.images(), **settings)


class TestRun:
    def test_learns(self):
        h = small.h_transform()
        result = train(
            h,
            small.prior(),
            small.objective(),
            small.images(200),
            steps=40,
            batch_size=8,
            learning_rate=3e-3,
            ema=0.9,
            validation=small.images(32, 9),
            validation_draws=64,
            progress=False,
        )
        before, after = (
            line["validation"]["loss"]
            for line in (result.history[0], result.history[-1])
            if "validation" in line
        )
        assert after < before
        assert result.validation.loss < 0.9 * result.validation.without

    def test_same_call_same_bits(self, uninterrupted):
        h = small.h_transform()
        small.run(h)
        assert not small.differing(h.state_dict(), uninterrupted[0])

    def test_a_seed_of_another_kind_of_integer(self, tmp_path):
        h, again = small.h_transform(), small.h_transform()
        small.run(h, seed=3, steps=2)
        small.run(again, seed=np.int64(3), steps=2, out=tmp_path)
        assert not small.differing(h.state_dict(), again.state_dict())
        with pytest.raises(InvalidInput, match=r"a seed is an integer; got 3\.0"):
            small.run(small.h_transform(), seed=3.0)

    def test_another_seed_another_run(self, uninterrupted):
        h = small.h_transform()
        small.run(h, seed=1)
        assert small.differing(h.state_dict(), uninterrupted[0])

    def test_accumulation_takes_the_same_samples(self):
        a, b = small.h_transform(), small.h_transform()
        small.run(a, batch_size=8, accumulate=1)
        small.run(b, batch_size=2, accumulate=4)
        for name, value in a.state_dict().items():
            # sums in another order, through 16 steps of Adam at 1e-3
            torch.testing.assert_close(value, b.state_dict()[name], rtol=0, atol=2e-4, msg=name)

    def test_clipping_bounds_the_first_step(self):
        result = small.run(small.h_transform(), steps=2, clip=1e-9, learning_rate=1e-3, warmup=0)
        assert all(
            line["grad_norm"] > 1e-9 for line in result.history if "grad_norm" in line
        )  # the norm logged is that before clipping

    def test_metrics_are_json_lines(self, uninterrupted):
        _, out, result = uninterrupted
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        assert lines == json.loads(json.dumps(result.history))
        assert [line["step"] for line in lines if "loss" in line] == [4, 8, 12, 16]
        assert {
            "loss",
            "without",
            "grad_norm",
            "learning_rate",
            "signals_per_second",
            "seconds",
        } < set(lines[0])

    def test_prior_is_untouched(self):
        prior, h = small.prior(), small.h_transform()
        before = {name: value.clone() for name, value in prior.state_dict().items()}
        train(h, prior, small.objective(), small.images(), steps=3, batch_size=4, progress=False)
        assert not small.differing(prior.state_dict(), before)
        assert all(p.grad is None and not p.requires_grad for p in prior.parameters())

    def test_average_is_what_the_h_transform_holds(self):
        h = small.h_transform()
        small.run(h, steps=1, ema=0.0, patience=None, validation=None)
        raw = h.state_dict()
        averaged = small.h_transform()
        start = {name: value.clone() for name, value in averaged.state_dict().items()}
        small.run(averaged, steps=1, ema=0.999, patience=None, validation=None)
        d = 2 / 11  # (1 + n) / (10 + n) at n = 1
        for name, value in averaged.state_dict().items():
            torch.testing.assert_close(
                value, d * start[name] + (1 - d) * raw[name], rtol=1e-5, atol=1e-7
            )

    def test_bf16(self):
        result = small.run(small.h_transform(), precision="bf16", steps=4)
        assert math.isfinite(result.validation.loss)

    def test_bf16_is_for_networks_alone(self):
        """The loss at every noise level is that of full precision to the precision of a
        network's output, 2^-8, although it divides by r_t.
        """
        h, prior = small.h_transform(), small.prior()
        objective = DenoisingScoreMatching(small.objective().problem, uniform=1.0)
        with torch.no_grad():
            for p in h.parameters():
                p.add_(0.1 * torch.randn_like(p))
        batch = Batch(small.images(), Noise(range(24)))
        full, half = (
            Losses(h, prior, objective, precision)(batch) for precision in ("fp32", "bf16")
        )
        assert half.value.dtype == torch.float32
        assert full.shown["log_snr"].max() > 8
        torch.testing.assert_close(half.value, full.value, rtol=0.05, atol=0.01)
        assert not torch.equal(half.value, full.value)

    def test_objective_with_parameters_of_its_own(self, tmp_path):
        class Constant(Objective):
            def __init__(self) -> None:
                super().__init__()
                self.inner, self.constant = small.objective(), nn.Parameter(torch.zeros(()))

            def loss(self, h_transform: HTransform, prior, batch: Batch) -> Loss:
                loss = self.inner.loss(h_transform, prior, batch)
                return Loss(loss.value + (self.constant - 1).square(), loss.shown)

        objective = Constant()
        run_broken(objective, out=tmp_path)
        again = Constant()
        run_broken(again, out=tmp_path)
        assert 0 < objective.constant.item() == again.constant.item()

    def test_progress_bar_shows_loss_and_speed(self, capfd):
        small.run(small.h_transform(), progress=True)
        shown = capfd.readouterr().err
        assert "16/16" in shown
        assert "of no h" in shown
        assert "signals/s" in shown

    @pytest.mark.parametrize(
        ("setting", "says"),
        [
            ({"steps": 0}, "steps: got 0"),
            ({"batch_size": 0}, "batch_size: got 0"),
            ({"ema": 1.0}, "ema: got 1.0"),
            ({"precision": "fp64"}, "'fp32' or 'bf16'"),
            ({"validation": None}, "Give a `validation` set"),
        ],
    )
    def test_bad_settings(self, setting, says):
        with pytest.raises(InvalidInput, match=says):
            small.run(small.h_transform(), **setting)

    def test_flip_is_for_images(self):
        with pytest.raises(InvalidInput, match="flip is for images; Images makes its own batches"):
            small.run(small.h_transform(), images=Images(small.images(), small.prior()), flip=True)

    def test_nothing_to_train(self):
        from deft.htransforms.base import NoConditioning

        with pytest.raises(InvalidInput, match="NoConditioning has no parameters"):
            small.run(NoConditioning())


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(tmp_path):
    """Under torchrun, on gloo: the same samples, the same weights on both, and those of one
    process to rounding.
    """
    folder = Path(__file__).parents[2]
    subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc_per_node",
            "2",
            "-m",
            "tests.training.two",
            str(tmp_path),
        ],
        cwd=folder,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=240,
    )
    first, second = (
        torch.load(tmp_path / f"final-{rank}.pt", weights_only=True) for rank in (0, 1)
    )
    assert first.pop("processes") == second.pop("processes") == 2
    assert not small.differing(first, second)
    alone = small.h_transform(0)
    small.run(alone, batch_size=8, accumulate=1)
    for name, value in alone.state_dict().items():
        torch.testing.assert_close(first[name], value, rtol=0, atol=1e-4, msg=name)


class TestEarlyStopping:
    def test_takes_the_best_weights(self, tmp_path):
        h = small.h_transform()
        # 4 images and a large rate: it overfits
        settings = {
            "steps": 400,
            "batch_size": 4,
            "learning_rate": 2e-2,
            "ema": 0.5,
            "validation": small.images(16, 7),
            "validation_draws": 64,
            "validate_every": 10,
            "patience": 3,
            "progress": False,
        }
        result = train(
            h, small.prior(), small.objective(), small.images(4), out=tmp_path, **settings
        )
        losses = {
            line["step"]: line["validation"]["loss"]
            for line in result.history
            if "validation" in line
        }
        assert result.stopped_early
        assert result.steps == result.best_step + 30 < 400
        assert losses[result.best_step] == min(losses.values())
        again = small.h_transform(5)
        assert (
            train(
                again, small.prior(), small.objective(), small.images(4), out=tmp_path, **settings
            ).steps
            == result.steps
        )
        assert not small.differing(h.state_dict(), again.state_dict())


class TestResume:
    def test_finished_run_is_given_back(self, uninterrupted):
        weights, out, result = uninterrupted
        h = small.h_transform(9)
        again = small.run(h, out=out)
        assert not small.differing(h.state_dict(), weights)
        assert again.steps == result.steps
        assert again.validation == result.validation

    @pytest.mark.parametrize(
        "places",
        [
            (-2, 0, 4, 8),
            pytest.param((-2, -2, -1, -1, 0, 0, 0, 0, 4, 4, 4, 8, 8), marks=pytest.mark.slow),
        ],
    )
    def test_sigkill_at_any_moment(self, uninterrupted, tmp_path, places):
        """Killed at moments that differ from time to time, then left alone: the same bits as the
        run that nothing disturbed.
        """
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.training.small", "accelerate"])
        out = tmp_path / "run"
        start_of_server = context.Process(target=small.nothing)
        start_of_server.start()
        start_of_server.join()
        killed = 0
        for place in places:
            process = context.Process(target=small.run_in_folder, args=(str(out),))
            process.start()
            while process.is_alive() and small.step_reached(out) < place:
                time.sleep(0.002)
            time.sleep(torch.empty(1).uniform_(0, 0.03).item())
            killed += process.is_alive()
            process.kill()
            process.join()
            assert not list(out.glob("*.pt"))
        assert killed == len(places)
        process = context.Process(target=small.run_in_folder, args=(str(out),))
        process.start()
        process.join()
        assert process.exitcode == 0
        assert not small.differing(
            torch.load(out / "final.pt", weights_only=True), uninterrupted[0]
        )
        theirs, ours = (
            [json.loads(line) for line in (f / "metrics.jsonl").read_text().splitlines()]
            for f in (out, uninterrupted[1])
        )
        assert [(line["step"], line.get("loss"), line.get("validation")) for line in theirs] == [
            (line["step"], line.get("loss"), line.get("validation")) for line in ours
        ]

    def test_killed_between_the_two_renames(self, uninterrupted, tmp_path):
        h = small.h_transform()
        with pytest.raises(RuntimeError, match="stop here"):
            run_until(10, h, out=tmp_path)
        (tmp_path / "state.safetensors").unlink()
        again = small.h_transform(3)
        small.run(again, out=tmp_path)
        assert not small.differing(again.state_dict(), uninterrupted[0])

    def test_other_settings_are_an_error(self, uninterrupted):
        out = uninterrupted[1]
        with pytest.raises(CheckpointError, match=r"learning_rate was 0.001 and is 0.01"):
            small.run(small.h_transform(), out=out, learning_rate=1e-2)
        with pytest.raises(CheckpointError, match="signals_per_step was 8 and is 16"):
            small.run(small.h_transform(), out=out, batch_size=8)
        with pytest.raises(CheckpointError, match=r"prior\.name was ramps-0 and is ramps-1"):
            train(
                small.h_transform(),
                small.prior(1),
                small.objective(),
                small.images(),
                steps=16,
                out=out,
                progress=False,
            )

    def test_other_images_of_the_same_number_are_an_error(self, uninterrupted):
        out, others = uninterrupted[1], small.images(seed=4)
        with pytest.raises(
            CheckpointError, match=r"data\.fingerprint was [0-9a-f]{16} and is [0-9a-f]{16}\. Give"
        ):
            small.run(small.h_transform(), out=out, images=others)
        with pytest.raises(
            CheckpointError, match=r"validation\.fingerprint was [0-9a-f]{16} and is"
        ):
            small.run(small.h_transform(), out=out, validation=others[:8])

    def test_a_state_without_fingerprints_goes_on(self, uninterrupted, tmp_path):
        """As earlier versions wrote it."""
        with pytest.raises(RuntimeError, match="stop here"):
            run_until(10, small.h_transform(), out=tmp_path)
        path = tmp_path / "state.safetensors"
        weights, head = files.read(path, KIND)
        card = head.card
        for name in ("data", "validation"):
            assert card["config"][name].pop("fingerprint")
        files.write(path, weights, card, KIND)
        h = small.h_transform(3)
        small.run(h, out=tmp_path)
        assert not small.differing(h.state_dict(), uninterrupted[0])
        assert files.header(path, KIND).card["config"]["data"]["fingerprint"]

    def test_a_run_that_never_moved_does_not_bind(self, uninterrupted, tmp_path):
        """Its settings were at fault, say, and are mended."""
        with pytest.raises(RuntimeError, match="stop here"):
            run_until(1, small.h_transform(4), out=tmp_path, learning_rate=1e-2)
        assert StateFile(tmp_path).last_step() == 0
        h = small.h_transform()
        small.run(h, out=tmp_path)
        assert not small.differing(h.state_dict(), uninterrupted[0])

    def test_start_again(self, uninterrupted, tmp_path):
        small.run(small.h_transform(), out=tmp_path, seed=5)
        h = small.h_transform()
        small.run(h, out=tmp_path, resume=False)
        assert not small.differing(h.state_dict(), uninterrupted[0])

    @pytest.mark.parametrize("keep", [0, 5, 200, -1])
    def test_truncated_state(self, tmp_path, keep):
        small.run(small.h_transform(), out=tmp_path)
        path = tmp_path / "state.safetensors"
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(
            CheckpointError,
            match=r"state\.safetensors .*(truncated|empty|no safetensors).*Delete "
            r"it.*state\.previous\.safetensors",
        ):
            small.run(small.h_transform(), out=tmp_path)
        path.unlink()
        small.run(small.h_transform(), out=tmp_path)

    def test_foreign_state(self, tmp_path):
        from safetensors.torch import save_file

        save_file({"x": torch.zeros(1)}, tmp_path / "state.safetensors")
        with pytest.raises(CheckpointError, match="no deft training state"):
            small.run(small.h_transform(), out=tmp_path)
        torch.save({"x": torch.zeros(1)}, tmp_path / "state.safetensors")
        with pytest.raises(CheckpointError, match=r"is a pickle or a torch \.pt file"):
            small.run(small.h_transform(), out=tmp_path)

    def test_no_pickle_is_written(self, uninterrupted):
        files = sorted(p.name for p in uninterrupted[1].iterdir())
        assert files == ["metrics.jsonl", "state.previous.safetensors", "state.safetensors"]
        for name in files[1:]:
            content = (uninterrupted[1] / name).read_bytes()
            assert content[8:9] == b"{"
            json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])


def run_until(step: int, h: HTransform, **settings) -> None:
    """A run that ends with an error at a step."""
    write = StateFile.write

    def stop(self, tensors, card):
        if card["progress"]["step"] >= step:
            raise RuntimeError("stop here")
        write(self, tensors, card)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StateFile, "write", stop)
        small.run(h, **settings)


class TestInterruption:
    @staticmethod
    def interrupt_at(call: int, number: int = signal.SIGINT) -> Broken:
        def action(loss: Loss) -> Loss:
            os.kill(os.getpid(), number)
            time.sleep(0.01)
            return loss

        return Broken(action, call)

    def test_ctrl_c_saves_and_says_how_to_resume(self, tmp_path):
        whole = Broken(lambda loss: loss, -1)
        h = small.h_transform()
        train(
            h,
            small.prior(),
            whole,
            small.images(),
            steps=6,
            batch_size=4,
            save_every=100,
            progress=False,
        )
        usual = signal.getsignal(signal.SIGINT)
        with pytest.raises(
            KeyboardInterrupt,
            match=r"stopped at step 3 of 6; saved in .*state\.safetensors\. The same call goes on",
        ):
            run_broken(self.interrupt_at(3), out=tmp_path, save_every=100)
        assert signal.getsignal(signal.SIGINT) is usual
        again = small.h_transform(4)
        train(
            again,
            small.prior(),
            Broken(lambda loss: loss, -1),
            small.images(),
            steps=6,
            batch_size=4,
            out=tmp_path,
            progress=False,
        )
        assert not small.differing(h.state_dict(), again.state_dict())

    @pytest.mark.parametrize("number", signals.TERMINATION)
    def test_a_termination_saves_as_well(self, tmp_path, number):
        usual = signal.getsignal(number)
        named = f"stopped by {signal.Signals(number).name} at step 3 of 6; saved in"
        with pytest.raises(signals.Stopped, match=named) as raised:
            run_broken(self.interrupt_at(3, number), out=tmp_path, save_every=100)
        assert raised.value.number == number
        assert signal.getsignal(number) is usual
        assert StateFile(tmp_path).last_step() == 3
        assert not (tmp_path / lock.NAME).exists()

    def test_without_a_folder(self):
        with pytest.raises(KeyboardInterrupt, match="nothing was saved"):
            run_broken(self.interrupt_at(2))

    def test_in_another_thread(self):
        found = []
        thread = threading.Thread(
            target=lambda: found.append(small.run(small.h_transform(), steps=1))
        )
        thread.start()
        thread.join()
        assert found[0].steps == 1


class TestOneRunPerFolder:
    def test_another_process_has_it(self, tmp_path):
        code = (
            "import sys; from deft.storage.lock import locked\nwith locked(sys.argv[1]): "
            "print('held', flush=True); sys.stdin.read()"
        )
        command = [sys.executable, "-c", code, str(tmp_path)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as other:
            assert other.stdout.readline() == "held\n"
            with pytest.raises(FolderInUse) as raised:
                small.run(small.h_transform(), out=tmp_path)
            assert f"process {other.pid}" in raised.value.given
            assert not (tmp_path / "metrics.jsonl").exists()
            other.communicate(timeout=60)
        small.run(small.h_transform(), steps=1, out=tmp_path)
        assert not (tmp_path / lock.NAME).exists()

    def test_an_error_lets_go(self, tmp_path):
        def action(loss: Loss) -> Loss:
            raise RuntimeError("shapes")

        with pytest.raises(RuntimeError, match="shapes"):
            run_broken(Broken(action, 3), out=tmp_path)
        assert not (tmp_path / lock.NAME).exists()

    def test_a_folder_that_cannot_be_one(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(CheckpointError, match="could not be written"):
            small.run(small.h_transform(), out=tmp_path / "file")


@pytest.mark.filterwarnings("ignore:.*goes on from step")
class TestMoreSteps:
    def rates(self, result) -> dict[int, float]:
        return {line["step"]: line["learning_rate"] for line in result.history if "loss" in line}

    def test_a_run_that_ended_goes_on_with_a_rate_that_begins_again(self, tmp_path):
        h = small.h_transform()
        small.run(h, out=tmp_path, log_every=1, warmup=None)
        ended = {name: value.clone() for name, value in h.state_dict().items()}
        with pytest.warns(
            UserWarning,
            match=r"goes on from step 16 of 16 to 24: the learning rate rises again to 0\.001 and "
            r"falls over the 8 steps",
        ):
            result = small.run(h, out=tmp_path, steps=24, log_every=1, warmup=None)
        rates = self.rates(result)
        assert result.steps == 24
        assert result.restarted_at == result.facts()["restarted_at"] == 16
        assert rates[16] < 1e-4 < 9e-4 < rates[17]
        assert rates[24] < 1e-4
        assert small.differing(h.state_dict(), ended)
        again = small.h_transform(3)
        small.run(again, out=tmp_path, steps=24, log_every=1, warmup=None)
        assert not small.differing(again.state_dict(), h.state_dict())

    def test_a_kill_afterwards_changes_nothing(self, tmp_path):
        whole, parts = small.h_transform(), small.h_transform()
        for h, out in ((whole, tmp_path / "whole"), (parts, tmp_path / "parts")):
            small.run(h, out=out)
        small.run(whole, out=tmp_path / "whole", steps=24)
        for step in (17, 20):
            with pytest.raises(RuntimeError, match="stop here"):
                run_until(step, small.h_transform(7), out=tmp_path / "parts", steps=24)
        again = small.h_transform(8)
        small.run(again, out=tmp_path / "parts", steps=24)
        assert not small.differing(again.state_dict(), whole.state_dict())

    def test_a_run_that_was_stopped_goes_on(self, tmp_path):
        with pytest.raises(RuntimeError, match="stop here"):
            run_until(10, small.h_transform(), out=tmp_path)
        result = small.run(small.h_transform(), out=tmp_path, steps=20)
        assert (result.steps, result.restarted_at) == (20, 9)

    @pytest.mark.slow
    def test_one_that_stopped_early_goes_on(self, tmp_path):
        settings = {
            "steps": 200,
            "batch_size": 4,
            "learning_rate": 2e-2,
            "ema": 0.5,
            "validation": small.images(16, 7),
            "validation_draws": 64,
            "validate_every": 5,
            "patience": 2,
            "progress": False,
            "out": tmp_path,
        }
        first = train(
            small.h_transform(), small.prior(), small.objective(), small.images(4), **settings
        )
        assert first.stopped_early
        more = train(
            small.h_transform(),
            small.prior(),
            small.objective(),
            small.images(4),
            **{**settings, "steps": 220},
        )
        assert more.steps > first.steps

    def test_fewer_steps_and_other_settings_are_refused(self, tmp_path):
        small.run(small.h_transform(), out=tmp_path)
        with pytest.raises(CheckpointError, match="steps was 16 and is 8"):
            small.run(small.h_transform(), out=tmp_path, steps=8)
        with pytest.raises(CheckpointError, match="learning_rate was"):
            small.run(small.h_transform(), out=tmp_path, steps=24, learning_rate=1e-2)


class TestValidationByDefault:
    def validated(self, **settings) -> list[tuple[int, int]]:
        """At which steps, on how many draws."""
        settings = {
            "batch_size": 8,
            "accumulate": 1,
            "validation_draws": None,
            "validate_every": None,
            "patience": None,
            **settings,
        }
        result = small.run(small.h_transform(), **settings)
        checks = [line for line in result.history if "validation" in line]
        return [
            (line["step"], sum(b["count"] for b in line["validation"]["bins"])) for line in checks
        ]

    def test_a_short_run_is_validated_at_its_end(self):
        assert self.validated(steps=12) == [(12, 64)]

    def test_what_is_asked_for_is_done(self):
        assert self.validated(steps=12, validate_every=6, validation_draws=16) == [
            (6, 16),
            (12, 16),
        ]
        assert [step for step, _ in self.validated(steps=4, validation_draws=8)] == [1, 2, 3, 4]

    def test_early_stopping_needs_validations(self):
        assert self.validated(steps=2, patience=20) == [(1, 256), (2, 256)]

    @pytest.mark.parametrize(
        "setting", [{"validate_every": 0}, {"validation_draws": 0}, {"validation_draws": -3}]
    )
    def test_numbers_that_cannot_be_meant(self, setting):
        with pytest.raises(InvalidInput, match=next(iter(setting))):
            self.validated(steps=4, **setting)

    def test_another_validation_changes_no_weights_and_does_not_bind(self, tmp_path):
        whole, other = small.h_transform(), small.h_transform()
        small.run(whole, patience=None)
        with pytest.raises(RuntimeError, match="stop here"):
            run_until(10, small.h_transform(), out=tmp_path, patience=None)
        small.run(other, out=tmp_path, patience=None, validate_every=7, validation_draws=9)
        assert not small.differing(whole.state_dict(), other.state_dict())

    def test_with_early_stopping_the_recorded_one_goes_on(self, tmp_path):
        usual = {"validation_draws": None, "validate_every": None, "out": tmp_path}
        with pytest.raises(RuntimeError, match="stop here"):
            run_until(
                10, small.h_transform(), **{**usual, "validation_draws": 8, "validate_every": 4}
            )
        small.run(small.h_transform(), **usual)
        assert (
            files.header(tmp_path / "state.safetensors", KIND).card["config"]["validation_draws"]
            == 8
        )
        with pytest.raises(CheckpointError, match="validate_every was 4 and is 5"):
            small.run(small.h_transform(), **{**usual, "validate_every": 5})


class TestTrouble:
    def test_nan_in_the_loss(self, tmp_path):
        def action(loss: Loss) -> Loss:
            return Loss(
                loss.value * torch.tensor([1.0, float("nan"), 1.0, 1.0]),
                {**loss.shown, "log_snr": torch.tensor([0.0, -3.25, 1.0, 2.0])},
            )

        with pytest.raises(
            TrainingDiverged,
            match=r"the loss of step 4 is not finite, at log-SNR -3.25 \(t = [0-9.]+\)\. The last "
            r"good state is that of step 2, in .*state\.safetensors \(deft train --initial",
        ):
            run_broken(Broken(action, 4), out=tmp_path)
        assert StateFile(tmp_path).read()[1]["progress"]["step"] == 2

    def test_infinite_gradient(self):
        def action(loss: Loss) -> Loss:
            return Loss(loss.value + (loss.value - loss.value.detach()).sqrt(), loss.shown)

        with pytest.raises(
            TrainingDiverged,
            match=r"the gradient of step 2 is not finite, at log-SNRs between .* and .*No state "
            r"was saved",
        ):
            run_broken(Broken(action, 2))

    def test_full_disk(self, tmp_path, monkeypatch):
        def action(loss: Loss) -> Loss:
            def full(descriptor):
                raise OSError(errno.ENOSPC, "No space left on device")

            monkeypatch.setattr(os, "fsync", full)
            return loss

        with pytest.raises(
            CheckpointError,
            match=r"the disk is full: .*state\.safetensors could not be written; the earlier .* "
            r"is intact.*step 2",
        ):
            run_broken(Broken(action, 4), out=tmp_path)
        monkeypatch.undo()
        assert StateFile(tmp_path).read()[1]["progress"]["step"] == 2
        assert not [p for p in tmp_path.iterdir() if "partial" in p.name or "next" in p.name]
        h, whole = small.h_transform(), small.h_transform()
        settings = {"steps": 6, "batch_size": 4, "save_every": 2, "progress": False}
        train(
            h,
            small.prior(),
            Broken(lambda loss: loss, -1),
            small.images(),
            out=tmp_path,
            **settings,
        )
        train(whole, small.prior(), Broken(lambda loss: loss, -1), small.images(), **settings)
        assert not small.differing(h.state_dict(), whole.state_dict())

    @pytest.mark.parametrize(
        "error",
        [
            torch.OutOfMemoryError("CUDA out of memory."),
            RuntimeError("DefaultCPUAllocator: can't allocate memory"),
            MemoryError(),
        ],
    )
    def test_out_of_memory(self, error):
        def action(loss: Loss) -> Loss:
            raise error

        with pytest.raises(
            OutOfMemory, match="no room for batch_size=4; try batch_size=2, accumulate=2"
        ):
            run_broken(Broken(action, 1))
        with pytest.raises(
            OutOfMemory, match="no room for batch_size=5; try batch_size=2, accumulate=5"
        ):
            run_broken(Broken(action, 1), batch_size=5, accumulate=2)
        with pytest.raises(OutOfMemory, match="no room for batch_size=1; one signal is the least"):
            run_broken(Broken(action, 1), batch_size=1)

    def test_other_errors_pass(self):
        def action(loss: Loss) -> Loss:
            raise RuntimeError("shapes")

        with pytest.raises(RuntimeError, match="shapes"):
            run_broken(Broken(action, 1))
