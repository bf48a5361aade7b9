"""A table is made stage by stage: what is fresh is skipped, what was changed runs again."""

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import table
import yaml

from deft.signals import Stopped

COPY = """
import sys
from pathlib import Path

source, out, *more = sys.argv[1:]
text = (Path(source) / "start.txt" if Path(source).is_dir() else Path(source)).read_text()
if "bad" in text:
    sys.exit(3)
Path(out).write_text(text + "".join(more))
"""
SHOW = "import sys; from pathlib import Path; print(Path(sys.argv[1]).read_text() + '!')"
SLOW = """
import sys, time
from pathlib import Path

half = Path(sys.argv[1] + ".half")
if not half.exists():
    half.write_text("half")
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        sys.exit(130)
Path(sys.argv[1]).write_text("whole")
"""
STAGES = [
    {"out": "runs/a.txt", "run": "benchmarks/copy.py DATA runs/a.txt"},
    {"out": "runs/b.txt", "run": "benchmarks/copy.py runs/a.txt runs/b.txt +b"},
    {"prints": "runs/c.md", "run": "benchmarks/show.py runs/b.txt"},
]
QUALITY = Path(table.ROOT) / "benchmarks" / "quality"


class Repository:
    """A folder with three scripts, data, and a YAML file."""

    def __init__(self, root: Path) -> None:
        self.root, self.data = root, root / "the data"
        for folder in ("benchmarks/quality", "runs", self.data):
            (root / folder).mkdir(parents=True)
        for name, text in (("copy", COPY), ("show", SHOW), ("slow", SLOW)):
            (root / "benchmarks" / f"{name}.py").write_text(text)
        (self.data / "start.txt").write_text("start")

    def table(self, stages=STAGES, **config) -> table.Table:
        path = self.root / "benchmarks" / "quality" / "own.yaml"
        path.write_text(yaml.safe_dump({"seed": 0, **config, "stages": list(stages)}))
        return table.Table(path, self.root)

    def build(self, stages=STAGES, **config) -> int:
        return self.table(stages, **config).build(self.data)


@pytest.fixture
def own(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def test_stages_run_in_order_and_there_is_nothing_to_do_the_second_time(own, capfd):
    assert own.build() == 3
    assert (own.root / "runs" / "c.md").read_text() == "start+b!\n"
    capfd.readouterr()
    assert own.build() == 0
    assert capfd.readouterr().out.splitlines() == [
        "fresh: runs/a.txt",
        "fresh: runs/b.txt",
        "fresh: runs/c.md",
        "nothing to do",
    ]


def test_a_changed_stage_runs_again_and_what_reads_it(own):
    own.build()
    changed = [STAGES[0], STAGES[1] | {"run": STAGES[1]["run"] + " +d"}, STAGES[2]]
    assert own.build(changed) == 2
    assert (own.root / "runs" / "c.md").read_text() == "start+b+d!\n"
    assert own.build(changed) == 0


def test_another_configuration_runs_everything_again(own):
    own.build()
    assert own.build(seed=1) == 3


def test_what_is_missing_or_older_than_a_file_that_it_reads_runs_again(own):
    read = own.root / "more.txt"
    read.write_text("more")
    stages = [*STAGES, {"prints": "runs/d.md", "run": "benchmarks/show.py more.txt"}]
    assert own.build(stages) == 4
    (own.root / "runs" / "c.md").unlink()
    assert own.build(stages) == 1
    later = time.time() + 5
    os.utime(read, (later, later))
    assert own.build(stages) == 1


def test_a_failing_stage_stops_with_its_command_and_goes_on_from_there(own):
    (own.data / "start.txt").write_text("bad")
    with pytest.raises(SystemExit, match=r"exit status 3:\nbenchmarks/copy.py DATA runs/a.txt"):
        own.build()
    assert not (own.root / "runs" / "b.txt").exists()
    (own.data / "start.txt").write_text("good")
    assert own.build() == 3


def test_a_stage_that_fails_leaves_no_half_of_what_it_prints(own):
    stages = [{"prints": "runs/c.md", "run": "benchmarks/show.py runs/none.txt"}]
    with pytest.raises(SystemExit, match="exit status 1"):
        own.build(stages)
    assert sorted(path.name for path in (own.root / "runs").iterdir()) == ["table-own.json"]


def test_a_stage_that_leaves_nothing_is_not_done(own):
    stages = [{"out": "runs/none.txt", "run": STAGES[0]["run"]}]
    with pytest.raises(SystemExit, match=r"left no runs/none.txt"):
        own.build(stages)


def test_a_stopped_stage_goes_on(own):
    stages = [{"out": "runs/slow.txt", "run": "benchmarks/slow.py runs/slow.txt"}]
    half = own.root / "runs" / "slow.txt.half"

    def stop() -> None:
        while not half.exists():
            time.sleep(0.02)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=stop).start()
    with pytest.raises(Stopped, match=r"stopped in\nbenchmarks/slow.py"):
        own.build(stages)
    assert not (own.root / "runs" / "slow.txt").exists()
    assert own.build(stages) == 1


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ({"run": "benchmarks/copy.py"}, "a stage has `run` and `out`"),
        ({"out": "x", "prints": "x", "run": "benchmarks/copy.py"}, "a stage has `run` and `out`"),
        ({"out": "x", "run": "rm -r runs"}, "rm is no script"),
        ({"out": "x", "run": "benchmarks/none.py"}, "none.py is no script"),
    ],
)
def test_what_is_no_stage_is_refused(own, stage, said):
    with pytest.raises(SystemExit, match=said):
        own.table([stage])


def test_two_stages_with_one_output_and_none_at_all_are_refused(own):
    with pytest.raises(SystemExit, match="an output of its own"):
        own.table([STAGES[0], STAGES[0]])
    with pytest.raises(SystemExit, match="has no stages"):
        own.table([])


@pytest.mark.parametrize(
    ("data", "said"),
    [("", "make table-digits DATA=FOLDER"), ("nowhere/at/all", "nowhere/at/all does not exist")],
)
def test_a_missing_data_folder_is_refused(data, said):
    script = Path(table.ROOT) / "benchmarks" / "table.py"
    done = subprocess.run(
        [sys.executable, str(script), "digits", "--data", data],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())


@pytest.mark.parametrize("path", sorted(QUALITY.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_stages_that_ship_read_what_is_there(path):
    found = table.Table(path)
    assert found.needs_data
    for place, stage in enumerate(found.stages):
        made = [earlier.out for earlier in found.stages[:place]]
        own_out = stage.words[stage.words.index("--out") + 1] if "--out" in stage.words else ""
        for word in shlex.split(stage.command):
            if word.startswith("runs/") and word != own_out:
                here = Path(word)
                assert any(
                    here in (Path(out), *Path(out).parents) or Path(out) in here.parents
                    for out in made
                ), word
            if word.endswith(".yaml"):
                assert Path(word).stem == path.stem
