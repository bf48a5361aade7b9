"""Wrong input, typed: one line that says what was given, what is expected and what to do;
nothing is accepted in silence, and nothing is lost.
"""

import hashlib
import shutil
from pathlib import Path

import pytest

from deft.cli import COMMANDS, main
from deft.commands import parser
from tests.bad_input import api, faults
from tests.bad_input.row import RIGHT, Row
from tests.bad_input.rows import ROWS
from tests.bad_input.world import build

EVERY = [(kind, row) for kind, rows in ROWS.items() for row in rows]
SAMPLE = EVERY[::9]
RESULTS = ("h.safetensors", "results.json", "report.html", "done.jsonl", "state.safetensors")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory):
    """What the commands read; nothing of it is changed."""
    root = build(tmp_path_factory.mktemp("world"))
    with api.served() as url:
        (root / "api").write_text(url)
        before = contents(root)
        yield root
        assert contents(root) == before


def contents(folder: Path) -> dict[str, str]:
    """A hash of each file below."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_there_are_enough_and_no_kind_crowds_out_the_others():
    assert len({(row.base, row.wrong, row.before) for _, row in EVERY}) == len(EVERY) >= 250
    assert max(map(len, ROWS.values())) <= 12
    assert {row.command for _, row in EVERY} >= set(COMMANDS)


@pytest.mark.parametrize("command", sorted({*COMMANDS} - {"list"}))
def test_every_command_is_given_protein_backbones(command):
    typed = [f"{row.base} {row.wrong}" for _, row in EVERY if row.command == command]
    assert any("/protein/" in one for one in typed)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_there(command):
    actions = [
        action
        for action in parser.build(command)._actions
        if action.option_strings and action.dest != "help"
    ]
    options = [
        action.option_strings[0]
        for action in actions
        if not action.option_strings[0].endswith(".help")
    ]
    typed = {
        word.split("=")[0].split(".")[0]
        for _, row in EVERY
        if row.command == command
        for word in f"{row.base} {row.wrong}".split()
    }
    wrong = {
        word.split("=")[0].split(".")[0]
        for _, row in EVERY
        if row.command == command
        for word in f"{row.wrong or row.base}".split()
    }
    assert [
        option
        for option in options
        if option not in wrong and not (option in typed and option in ("--problem", "--methods"))
    ] == []


@pytest.mark.parametrize("base", RIGHT)
def test_what_the_rows_start_from_works(base, world, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(Row(base, "", ()).arguments(world)) == 0
    assert "rror" not in capsys.readouterr().err


@pytest.mark.parametrize(("kind", "row"), SAMPLE, ids=str)
def test_it_is_refused(kind, row, world, tmp_path, monkeypatch, capsys):
    check(row, world, tmp_path, monkeypatch, capsys)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "row"), [one for one in EVERY if one not in SAMPLE], ids=str)
def test_all_of_them_are_refused(kind, row, world, tmp_path, monkeypatch, capsys):
    check(row, world, tmp_path, monkeypatch, capsys)


def check(
    row: Row,
    world: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    if row.before:
        shutil.copytree(world / row.before, folder / "out")
    before = contents(folder)
    status = main(row.arguments(world))
    said = capsys.readouterr().err.replace("\r", "\n")
    lines = [line for line in said.splitlines() if line.startswith("deft: ")]
    assert status == row.status, said
    assert "Traceback" not in said
    assert "this is a fault of deft" not in said
    assert lines, "nothing was said"
    spoken = lines if row.status == 0 else lines[-1:]
    assert any(not row.missing(line, world) for line in spoken), (
        f"{spoken} lacks {row.missing(spoken[-1], world)}"
    )
    if row.status:
        after = contents(folder)
        assert {name: after.get(name) for name in before} == before, "what was there is changed"
        new = [name for name in after if name not in before]
        assert row.keeps or not [
            name for name in new if name.endswith((".npz", ".png", *RESULTS))
        ], f"results of a refused command: {new}"


def test_every_known_fault_has_a_row_or_a_test():
    for fault, place in faults.WHERE.items():
        if place.startswith("tests/"):
            file, _, name = place.partition("::")
            text = (Path(__file__).parents[2] / file).read_text()
            assert f"def {name}(" in text or f"class {name}" in text, (
                f"{fault}: {place} is not there"
            )
        else:
            assert any(place == row.wrong or place == str(row) for _, row in EVERY), (
                f"{fault}: no row {place!r}"
            )
