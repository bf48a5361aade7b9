"""A file from a stranger is safe to open: whatever any field of any card says, nothing is imported,
executed, opened or connected to but what the same honest file does.

The fields are enumerated from the schema, so that a new field is tested by itself. Each case in a
place from which something is built is shown to fail when the check is taken out.
"""

import inspect
import json
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

import deft
from deft.errors import DeftError
from deft.priors import resolve, zoo
from deft.problems import Inpainting, from_card
from deft.storage import cards, compound_fields, fields, tensors
from deft.storage.schema import fields_of
from deft.storage.table import KINDS
from deft.training import checkpoint, shards, state
from deft.training.bank import Bank
from tests.storage.audit import recorded
from tests.training import small

MARKER = "deft_audit_marker"
SOURCE = """
from pathlib import Path
Path({path!r}).write_text("imported")
from deft.problems import Denoising
from deft.problems.masks import BoxMasks
from deft.schedules import VPLinear
class Evil:
    def __init__(self, *given, **named):
        Path({path!r}).write_text("built")
def called(*given, **named):
    Path({path!r}).write_text("called")
"""
LEARNED = {
    "LearnedHTransform",
    "FlatHTransform",
    "PaperHTransform",
    "ConditionalScore",
    "Calibrated",
}


@dataclass(frozen=True)
class Trap:
    """Where an attack would leave a trace: a module, a file, a folder and a port."""

    written: Path
    folder: Path
    server: socket.socket

    def sprung(self) -> str:
        """What happened, if anything."""
        if self.written.exists():
            return self.written.read_text()
        try:
            self.server.accept()
        except BlockingIOError:
            return ""
        return "connected"


@pytest.fixture
def trap(tmp_path, monkeypatch) -> Iterator[Trap]:
    written, home = tmp_path / "sprung", tmp_path / "home"
    home.mkdir()
    (home / f"{MARKER}.py").write_text(SOURCE.format(path=str(written)))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"no image")
    monkeypatch.syspath_prepend(str(home))
    monkeypatch.chdir(home)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield Trap(written, folder, server)
    sys.modules.pop(MARKER, None)


def attacks(trap: Trap) -> dict[str, object]:
    """What a field is given in place of its value."""
    port = trap.server.getsockname()[1]
    return {
        "dotted": f"{MARKER}.Evil",
        "function": f"{MARKER}.called",
        "class": {"class": f"{MARKER}.Evil", "args": {}},
        "class of version 0.1": {"class_path": f"{MARKER}.Evil", "init_args": {}},
        "class within": {"class": "Inpainting", "args": {"masks": {"class": f"{MARKER}.BoxMasks"}}},
        "function called": {"class": "Deepinv", "args": {"physics": f"{MARKER}.called"}},
        "folder": str(trap.folder),
        "class that opens": {"class": "MaskFiles", "args": {"folder": str(trap.folder)}},
        "address": f"http://127.0.0.1:{port}/x",
        "list": [{"class": f"{MARKER}.Evil"}],
        "number": 10**4000,
        "negative": -1,
        "null": None,
        "text": "\x1b[2J" + "x" * 10_000,
    }


BUILDS = ("class", "class of version 0.1")
"""Attacks that build something wherever a card builds anything."""
FEW = (*BUILDS, "dotted", "function called")


@dataclass(frozen=True)
class Place:
    """A field of a card: how to put a value there, and whether objects are built from it."""

    name: str
    put: Callable[[dict[str, Any], object], None]
    built: bool
    bait: tuple[str, ...] = BUILDS


def at(*path: str, built: bool = False, bait: tuple[str, ...] = BUILDS) -> Place:
    """The field at the end of a path of names."""

    def put(card: dict[str, Any], value: object) -> None:
        for name in path[:-1]:
            card[name] = card.get(name) or {}
            card = card[name]
        card[path[-1]] = value

    return Place(".".join(path), put, built, bait)


def of_object(field: fields.Field, *path: str) -> Iterator[tuple[str, ...]]:
    """The fields of an object of the schema, those within included."""
    for part in field.parts():
        if isinstance(part, compound_fields.Object):
            for name, inner in part.fields.items():
                yield (*path, name)
                yield from of_object(inner, *path, name)


def arguments(kind: str, name: str, *path: str) -> Iterator[Place]:
    """Every argument of a class of the table."""
    for argument, field in fields_of(kind, name).items():
        called = [part for part in field.parts() if isinstance(part, fields.Function)]
        opened = [part for part in field.parts() if isinstance(part, fields.Folder)]
        listed = [
            part
            for part in field.parts()
            if isinstance(part, compound_fields.Items) and isinstance(part.of, compound_fields.Part)
        ]
        bait = (
            (*BUILDS, "function")
            if called
            else (*BUILDS, "folder")
            if opened
            else (*BUILDS, "list")
            if listed
            else BUILDS
        )
        yield at(
            *path, "args", argument, built=argument != "scale", bait=bait
        )  # scale comes with the prior


# What is opened: each writes an honest file with its card changed, and reads it.

REQUIRED: dict[str, dict[str, object]] = {
    "BlackBox": {"function": "tests.storage.test_audit.halved", "differentiable": True},
    "Deepinv": {"physics": "tests.storage.test_audit.made"},
    "Fixed": {"operator": {"class": "Identity"}},
    "AnyOf": {"problems": [{"class": "Denoising", "args": {}}]},
}


def halved(x):
    return 0.5 * x


def made():
    return object()


def honest_h(path: Path) -> None:
    checkpoint.save(
        path,
        small.h_transform(),
        small.prior(),
        {
            "problem": Inpainting("box", 0.05).card(),
            "training": {"steps": 1},
            "prior_from": "digits-32",
        },
    )


def honest_prior(path: Path) -> None:
    zoo.save(path, small.prior(), {"data": "ramps"})  # type: ignore[arg-type]


def honest_state(path: Path) -> None:
    small.run(small.h_transform(), out=path.parent, steps=2, patience=None)


def open_h(path: Path) -> None:
    _, card = checkpoint.load(path, small.prior())
    from_card(card["problem"])  # type: ignore[arg-type]


def rewritten(path: Path, kind: str, place: Place, value: object) -> None:
    """The same file with another value in one place of its card, sealed as if it were honest."""
    weights, head = tensors.read(path, kind)
    place.put(head.card, value)
    path.write_bytes(tensors.sealed_bytes(weights, head.card, kind))


def h_places() -> list[Place]:
    top = [
        at(*path, built=path[0] in ("architecture", "problem"))
        for path in of_object(checkpoint.CARD)
    ]
    made = [
        at("architecture", "class", built=True, bait=("dotted",)),
        at("problem", "class", built=True, bait=("dotted",)),
    ]
    return [*top, *made, *arguments("h-transform", "LearnedHTransform", "architecture")]


def prior_places() -> list[Place]:
    top = [at(*path) for path in of_object(zoo.CARD)]
    own = [
        place
        for place in arguments("prior", "UNetPrior", "architecture")
        if place.name != "architecture.args.schedule"
    ]
    made = [
        at("architecture", "class", built=True, bait=("dotted",)),
        at("architecture", "args", "schedule", built=True),
        at("architecture", "args", "schedule", "class", built=True, bait=("dotted",)),
    ]
    return [
        *top,
        *own,
        *made,
        *arguments("schedule", "VPLinear", "architecture", "args", "schedule"),
    ]


def state_places() -> list[Place]:
    top = [at(*path, built=path[-1] == "h_transform") for path in of_object(state.CARD)]
    made = [at("config", "h_transform", "class", built=True, bait=("dotted",))]
    return [*top, *made, *arguments("h-transform", "LearnedHTransform", "config", "h_transform")]


FILES: dict[str, tuple[str, Callable[[Path], object], Callable[[Path], object], list[Place]]] = {
    "h": (checkpoint.KIND, honest_h, open_h, h_places()),
    "prior": (
        zoo.KIND,
        honest_prior,
        lambda path: (zoo.load(path), zoo.card(path)),
        prior_places(),
    ),
    "state": (
        state.KIND,
        honest_state,
        lambda path: checkpoint.load_average(path, small.prior()),
        state_places(),
    ),
}


@pytest.mark.parametrize("which", FILES)
class TestFiles:
    """h-transforms, priors and training states: safetensors files with a card."""

    @pytest.mark.parametrize(
        "names", [FEW, pytest.param(None, marks=pytest.mark.slow)], ids=["few", "all"]
    )
    def test_nothing_more_happens_than_with_the_honest_file(self, which, names, tmp_path, trap):
        kind, write, read, places = FILES[which]
        path = tmp_path / "run" / "state.safetensors"
        path.parent.mkdir()
        write(path)
        honest = path.read_bytes()
        usual = usual_events(path, read)
        for place in places:
            for name, value in attacks(trap).items():
                if names is not None and name not in names:
                    continue
                path.write_bytes(honest)
                rewritten(path, kind, place, value)
                with recorded() as events:
                    quietly(read, path)
                assert not events - usual, f"{place.name} = {name}"
                assert not trap.sprung(), f"{place.name} = {name}: {trap.sprung()}"

    def test_every_case_fails_without_the_check(self, which, tmp_path, trap, monkeypatch):
        kind, write, read, places = FILES[which]
        path = tmp_path / "run" / "state.safetensors"
        path.parent.mkdir()
        write(path)
        honest = path.read_bytes()
        usual = usual_events(path, read)
        take_the_checks_out(monkeypatch)
        for place in places:
            for name in place.bait if place.built else ():
                path.write_bytes(honest)
                rewritten(path, kind, place, attacks(trap)[name])
                with recorded() as events:
                    quietly(read, path)
                assert trap.sprung(), f"{place.name} = {name}"
                assert events - usual
                trap.written.unlink()
                sys.modules.pop(MARKER, None)


def usual_events(path: Path, read: Callable[[Path], object]) -> set[tuple[str, str]]:
    """What reading an honest file does, once everything of the package's own is imported."""
    everything_imported()
    quietly(from_card, {"class": "Inpaintng"})
    read(path)
    with recorded() as events:
        read(path)
    return events


class TestProblems:
    """Every argument of every class that the card of a problem can name."""

    def cases(self) -> Iterator[tuple[dict[str, Any], Place]]:
        for name in KINDS["problem"].homes:
            honest: dict[str, Any] = {"class": name, "args": dict(REQUIRED.get(name, {}))}
            yield honest, at("class", built=True, bait=("dotted",))
            for place in arguments("problem", name):
                yield honest, place
        where = {
            "masks": ("Inpainting", "masks"),
            "kernels": ("Deblurring", "kernel"),
            "operator": ("Fixed", "operator"),
        }
        for kind, (outer, argument) in where.items():
            for name in KINDS[kind].homes:
                inner: dict[str, Any] = {"class": name, "args": {}}
                complete = all(
                    p.default is not p.empty
                    for p in inspect.signature(KINDS[kind].find(name)).parameters.values()
                )
                for place in arguments(kind, name):
                    yield (
                        {"class": outer, "args": {argument: inner}},
                        _within(place, argument, complete),
                    )

    def test_nothing_more_happens_than_with_the_honest_card(self, trap):
        everything_imported()
        allow = ("tests", "deepinv")
        quietly(from_card, {"class": "Inpaintng"})
        with recorded() as usual:
            from_card({"class": "Inpainting", "args": {"masks": "box"}})
            quietly(from_card, {"class": "BlackBox", "args": REQUIRED["BlackBox"]}, allow=allow)
        for honest, place in self.cases():
            for name, value in attacks(trap).items():
                card = json.loads(json.dumps(honest))
                place.put(card, value)
                with recorded() as events:
                    quietly(from_card, card, allow=allow)
                assert not events - usual, f"{honest['class']}: {place.name} = {name}"
                assert not trap.sprung(), (
                    f"{honest['class']}: {place.name} = {name}: {trap.sprung()}"
                )

    def test_every_case_fails_without_the_check(self, trap, monkeypatch):
        everything_imported()
        quietly(from_card, {"class": "Inpaintng"})
        take_the_checks_out(monkeypatch)
        for honest, place in self.cases():
            for name in place.bait if place.built else ():
                card = json.loads(json.dumps(honest))
                place.put(card, attacks(trap)[name])
                with recorded() as events:
                    quietly(from_card, card)
                opened = any(str(trap.folder) in what for _, what in events)
                assert trap.sprung() or opened, f"{honest['class']}: {place.name} = {name}"
                trap.written.unlink(missing_ok=True)
                sys.modules.pop(MARKER, None)

    def test_with_allow_the_users_own_works(self, trap):
        everything_imported()
        found = from_card({"class": f"{MARKER}.Denoising", "args": {"sigma_y": 0.1}}, allow=MARKER)
        assert found.sigma_y == 0.1
        masks = from_card(
            {
                "class": "Inpainting",
                "args": {"masks": {"class": f"{MARKER}.BoxMasks", "args": {"fraction": 0.25}}},
            },
            allow=[MARKER],
        )
        assert masks.masks.fraction == 0.25


class TestServers:
    """A card that names the address of a server is no reason to contact it."""

    def card(self, tmp_path: Path, trap: Trap) -> Path:
        port = trap.server.getsockname()[1]
        path = tmp_path / "h.safetensors"
        more = {"prior_from": f"http://127.0.0.1:{port}", "problem": small.objective().card()}
        checkpoint.save(path, small.h_transform(), small.prior(), more)
        return path

    def test_it_is_not_contacted(self, tmp_path, trap):
        path = self.card(tmp_path, trap)
        with recorded() as events, pytest.raises(DeftError, match="is not asked"):
            deft.load(path)
        assert not [event for event, _ in events if event.startswith("socket.")]
        assert not trap.sprung()

    def test_it_would_be_without_the_check(self, tmp_path, trap, monkeypatch):
        path, load = self.card(tmp_path, trap), resolve.load
        monkeypatch.setattr(
            resolve, "load", lambda name, **named: load(name, **{**named, "fetch": True})
        )
        monkeypatch.setattr("deft.priors.remote.connection.HTTPConnection.getresponse", _no_answer)
        with recorded() as events, pytest.raises(DeftError, match="no answer"):
            deft.load(path)
        assert "socket.connect" in {event for event, _ in events}
        assert trap.sprung() == "connected"


def _no_answer(connection: object) -> None:
    raise OSError("no answer")


class TestBanks:
    def test_nothing_more_happens_than_with_the_honest_card(self, tmp_path, trap):
        everything_imported()
        Bank.build(small.prior(), small.images(), 8, out=tmp_path / "bank", progress=False)
        path = tmp_path / "bank" / "bank.json"
        honest = json.loads(path.read_text())
        quietly(Bank.open, path.parent, small.prior(1))
        with recorded() as usual:
            Bank.open(path.parent, small.prior())
        for place in (at(*names) for names in of_object(shards.CARD)):
            for name, value in attacks(trap).items():
                card = json.loads(json.dumps(honest))
                place.put(card, value)
                del card["sha256"]
                path.write_bytes(
                    shards._sealed(card)
                    if name != "number"
                    else json.dumps(card).replace("1" + "0" * 30, "1").encode()
                )
                with recorded() as events:
                    quietly(Bank.open, path.parent, small.prior())
                assert not events - usual, f"{place.name} = {name}"
                assert not trap.sprung(), f"{place.name} = {name}"


def test_every_class_of_the_package_is_in_the_table():
    """A new class has its row in deft.storage.table: without one its card would be that of a
    stranger.
    """
    from deft.commands import catalogue

    named = {
        "problems": "problem",
        "operators": "operator",
        "masks": "masks",
        "kernels": "kernels",
        "h-transforms": "h-transform",
        "samplers": "sampler",
        "time-grids": "time grid",
    }
    for kind, name in named.items():
        missing = {cls.__name__ for cls in catalogue.classes(kind)} - set(KINDS[name].homes)
        assert not missing, f"{missing} have no row among the {kind}"
    for kind in KINDS.values():
        for name in kind.homes:
            assert issubclass(kind.find(name), kind.base_class())


def everything_imported() -> None:
    """What the package itself imports late is no news."""
    import difflib  # noqa: F401

    for kind in KINDS.values():
        for name in kind.homes:
            kind.find(name)
            fields_of(kind.name, name)


def quietly(call: Callable[..., object], *given: object, **named: object) -> None:
    """A call that may refuse, in the words of this library; any other error is one of the test."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            call(*given, **named)
        except DeftError:
            pass
        except (
            TypeError,
            ValueError,
            AttributeError,
            RuntimeError,
            KeyError,
            IndexError,
            OverflowError,
        ):
            if not _OUT:
                raise


_OUT: list[bool] = []


def take_the_checks_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading without the schema, the table of names, and what the user allows."""
    monkeypatch.setattr(cards, "check", lambda *given, **named: None)
    monkeypatch.setattr(compound_fields.Object, "check", lambda *given, **named: None)
    monkeypatch.setattr(checkpoint, "_check_signals", lambda *given, **named: None)
    monkeypatch.setattr(sys.modules[__name__], "_OUT", [True])


def _within(place: Place, argument: str, complete: bool) -> Place:
    def put(card: dict[str, Any], value: object) -> None:
        place.put(card["args"][argument], value)

    return Place(f"{argument}.{place.name}", put, place.built and complete, place.bait)


def test_the_hook_sees_what_is_looked_for(trap):
    with recorded() as events:
        __import__(MARKER)
        (trap.folder / "a.png").read_bytes()
        socket.create_connection(trap.server.getsockname()).close()
    kinds = {event for event, _ in events}
    assert {"import", "exec", "open", "socket.connect"} <= kinds
    assert trap.sprung() == "imported"
    torch.zeros(1)
