"""Everything behind a table of docs/results.md, in order: the stages of a file of
benchmarks/quality.

    python benchmarks/table.py digits --data DIGITS_FOLDER
    make table-digits DATA=DIGITS_FOLDER

A stage of `stages` in the YAML file is a command line of a script of this repository (`run`, in
which the word DATA stands for the data folder) and the file or folder that it leaves (`out`), or
the file that what it prints goes to (`prints`); paths are those from the root of the repository.

A stage is skipped where its output is fresh: it exists, was made by the same command under the same
YAML file (of which `stages` does not count), and is newer than every output and file that the
command names. What was made, and when, is kept in runs/table-NAME.json; the place of the data does
not count, nor do the scripts. A stage that was stopped or failed runs again: the scripts go on from
where they were.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import yaml

from deft import signals
from deft.storage.atomic import atomic
from deft.storage.fingerprint import digest

ROOT = Path(__file__).resolve().parents[1]
DATA = "DATA"
SCRIPTS = ("benchmarks", "recipes")


@final
@dataclass(frozen=True)
class Stage:
    """A command line with its output; `prints` where the output is what it prints."""

    words: tuple[str, ...]
    out: str
    prints: bool = False

    @property
    def command(self) -> str:
        """As it is typed, without the name of Python."""
        return shlex.join(self.words)

    def names(self, path: str) -> bool:
        """Whether the command names a path, one that is inside it, or one that it is inside of."""
        here = Path(path)
        return any(
            here == there or here in there.parents or there in here.parents
            for there in (Path(word) for word in self.words[1:])
            if there.parts
        )

    def key(self, config: object) -> str:
        """What the output is made by: the command, and the YAML file but for its stages."""
        made_by = [self.command, self.prints, config]
        return digest(json.dumps(made_by, sort_keys=True, default=str))


@final
class Table:
    """The stages of a YAML file, with a record of those that were finished."""

    def __init__(self, path: Path, root: Path = ROOT) -> None:
        self.name, self.root = path.stem, root
        config = yaml.safe_load(path.read_text())
        self.stages = [read(stage, path.name, root) for stage in config.pop("stages", [])]
        self.config = config
        if not self.stages:
            raise SystemExit(f"{path.name} has no stages")
        outs = [stage.out for stage in self.stages]
        if len(set(outs)) < len(outs):
            raise SystemExit(f"{path.name}: every stage needs an output of its own")
        self.record = root / "runs" / f"table-{self.name}.json"

    @property
    def needs_data(self) -> bool:
        """Whether a stage reads the data folder."""
        return any(DATA in stage.words for stage in self.stages)

    def fresh(self, place: int) -> bool:
        """Whether a stage has nothing to do."""
        stage, kept = self.stages[place], self._kept()
        made = kept.get(stage.out, {})
        if made.get("key") != stage.key(self.config) or not (self.root / stage.out).exists():
            return False
        read_here = [s.out for s in self.stages[:place] if stage.names(s.out)]
        if any(kept.get(out, {}).get("finished", 0.0) > made["finished"] for out in read_here):
            return False
        outs = {s.out for s in self.stages}
        files = [self.root / word for word in stage.words[1:] if word not in {DATA, *outs}]
        ours = self.root / "benchmarks" / "quality" / f"{self.name}.yaml"  # counts by its content
        return all(
            path.stat().st_mtime <= made["finished"]
            for path in files
            if path.is_file() and path != ours
        )

    def build(self, data: Path | None = None) -> int:
        """Run what is not fresh; the number of stages that ran. Raises `SystemExit` where one
        fails, with its command, and `Stopped` after a signal.
        """
        ran = 0
        for place, stage in enumerate(self.stages):
            if self.fresh(place):
                print(f"fresh: {stage.out}", flush=True)
                continue
            print(f"{place + 1} of {len(self.stages)}: {stage.command}", flush=True)
            self._keep(stage.out, None)
            self._run(stage, data)
            if not (self.root / stage.out).exists():
                raise SystemExit(f"{stage.command}\nleft no {stage.out}")
            self._keep(stage.out, {"key": stage.key(self.config), "finished": time.time()})
            ran += 1
        print("nothing to do" if not ran else f"done: {ran} of {len(self.stages)} stages ran")
        return ran

    def _run(self, stage: Stage, data: Path | None) -> None:
        where = str(data.resolve()) if data else DATA
        words = [where if word == DATA else word for word in stage.words]
        with atomic(self.root / stage.out) if stage.prints else nullcontext() as file:
            code, asked = call([sys.executable, *words], self.root, file)
            if asked is not None:
                raise signals.Stopped(
                    f"stopped{signals.by(asked)} in\n{stage.command}\nThe same command goes on.",
                    asked,
                )
            if code:
                raise SystemExit(f"failed with exit status {code}:\n{stage.command}")

    def _kept(self) -> dict[str, Any]:
        return json.loads(self.record.read_text()) if self.record.exists() else {}

    def _keep(self, out: str, made: dict[str, Any] | None) -> None:
        kept = {name: known for name, known in self._kept().items() if name != out}
        if made is not None:
            kept[out] = made
        with atomic(self.record) as file:
            file.write(json.dumps(kept, indent=1).encode())


def read(card: Any, name: str, root: Path = ROOT) -> Stage:
    """A stage as it stands in the YAML file. Raises `SystemExit` where it is none."""
    kinds = {"run", "out"}, {"run", "prints"}
    if not isinstance(card, dict) or set(card) not in kinds:
        raise SystemExit(f"{name}: a stage has `run` and `out`, or `run` and `prints`; got {card}")
    words = tuple(shlex.split(card["run"]))
    script = Path(words[0]) if words else Path()
    if script.parts[:1] not in [(folder,) for folder in SCRIPTS] or not (root / script).is_file():
        raise SystemExit(f"{name}: {script} is no script in {' or '.join(SCRIPTS)}")
    return Stage(words, card.get("out") or card["prints"], "prints" in card)


def call(words: Sequence[str], folder: Path, file: Any = None) -> tuple[int, int | None]:
    """Run a command to its end: its exit status, and the signal that asked for a stop, if any. The
    first signal is passed on, so that the command can save what is done; a second one kills it.
    """
    with signals.noted() as asked:
        process = subprocess.Popen(words, cwd=folder, stdout=file, start_new_session=True)
        told = False
        try:
            while True:
                try:
                    return process.wait(timeout=0.1), asked.number
                except subprocess.TimeoutExpired:
                    if asked.number is not None and not told:
                        process.send_signal(asked.number)
                        told = True
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def main() -> None:
    """Build a table."""
    quality = ROOT / "benchmarks" / "quality"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = sorted(path.stem for path in quality.glob("*.yaml"))
    parser.add_argument("name", choices=names, help="a file of benchmarks/quality")
    parser.add_argument("--data", default="", help="the data folder of recipes/train_prior.py")
    args = parser.parse_args()
    table = Table(quality / f"{args.name}.yaml")
    if table.needs_data and not args.data:
        parser.error(
            f"no data folder was given: make table-{args.name} DATA=FOLDER, the folder of "
            f"{table.config['data']} that recipes/train_prior.py describes"
        )
    if args.data and not Path(args.data).is_dir():
        parser.error(f"the data folder {args.data} does not exist")
    try:
        table.build(Path(args.data) if args.data else None)
    except KeyboardInterrupt as stop:
        print(stop, file=sys.stderr)
        raise SystemExit(128 + signals.number_of(stop)) from stop


if __name__ == "__main__":
    main()
