"""Arrows between the modules point one way (docs/design.md, section 2), and `import deft` stays
light.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "deft"

LAYERS = {
    "types": set(),
    "errors": set(),
    "checks": {"errors"},
    "codec": {"types", "errors"},
    "philox": set(),
    "noise": {"errors", "philox", "types"},
    "geometry": {"errors"},
    "signals": set(),
    "storage": {"types", "errors", "noise"},
    "networks": {"types", "errors", "geometry"},
    "schedules": {"types", "errors", "noise"},
    "transitions": {"types", "schedules"},
    "priors": {
        "types",
        "errors",
        "noise",
        "signals",  # a request that waits for a server waits no longer once one came
        "storage",
        "networks",
        "schedules",
        "transitions",
    },
    "steps": {"types", "noise", "priors", "transitions"},
    "operators": {"types", "errors", "noise", "storage", "geometry"},
    "likelihoods": {"types", "errors", "noise", "storage", "geometry", "operators"},
    "problems": {"types", "errors", "noise", "storage", "geometry", "operators", "likelihoods"},
}
LAYERS["serving"] = LAYERS["priors"] | {"priors"}
LAYERS["htransforms"] = {
    "networks",
    "schedules",
    "transitions",
    "priors",
    *LAYERS["problems"],
    "problems",
}
LAYERS["posterior"] = LAYERS["htransforms"] | {"htransforms"}
LAYERS["samplers"] = LAYERS["posterior"] | {"posterior", "steps"}
LAYERS["interop"] = LAYERS["samplers"] | {"samplers"}
LAYERS["paths"] = LAYERS["samplers"] | {"samplers"}
LAYERS["metrics"] = LAYERS["data"] = LAYERS["paths"] | {"paths"}
LAYERS["training"] = LAYERS["data"] | {"metrics", "data", "signals"}
LAYERS["studies"] = LAYERS["training"] | {"training"}
LAYERS["reports"] = LAYERS["studies"] | {"studies"}
LAYERS["pipeline"] = LAYERS["reports"] | {"reports", "interop"}
LAYERS["loading"] = LAYERS["pipeline"] | {"pipeline"}
LAYERS["app"] = LAYERS["pipeline"] | {"pipeline", "serving"}
LAYERS["commands"] = LAYERS["app"] | {"app"}
LAYERS["cli"] = {"errors", "signals", "commands"}  # the commands once one is known
for _name, _part in LAYERS.items():
    if {"priors", "operators"} & {_name, *_part}:  # both speak of signal space and prior space
        _part.add("codec")
    if "errors" in _part:  # every part may check the numbers that it is given
        _part.add("checks")


def _imports(path: Path) -> set[str]:
    """The parts of the package that a file imports, at the top or inside functions; those for
    type checkers alone do not count.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "deft":
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.split(".")[1] for alias in node.names if alias.name.startswith("deft.")
            }
    return found - {"__version__"}


@pytest.mark.parametrize(
    "path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE))
)
def test_arrows_point_one_way(path: Path) -> None:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    if parts == ("__init__",):
        return
    own = parts[0]
    assert own in LAYERS, f"{own} has no place in the design"
    assert _imports(path) <= LAYERS[own] | {own}


@pytest.mark.parametrize(
    "heavy",
    ["torchvision", "diffusers", "accelerate", "matplotlib", "skimage", "jsonargparse", "PIL"],
)
def test_heavy_packages_are_imported_where_they_are_needed(heavy: str) -> None:
    at_the_top = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == heavy for name in names):
                at_the_top.append(str(path.relative_to(SOURCE)))
    assert at_the_top == (["commands/parser.py"] if heavy == "jsonargparse" else [])


def test_import_deft_is_light() -> None:
    code = (
        "import sys, deft; sys.exit(str({'torch', 'numpy'} & set(sys.modules)) if {'torch', "
        "'numpy'} & set(sys.modules) else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_deft_sample_evaluates_the_prior_before_anything_heavy_is_imported(tmp_path):
    """Networks are built without memory first, where some functions of torch would import its
    compiler and sympy: longer than all else.
    """
    from tests.commands.conftest import save_images

    code = """
import sys
from deft import cli
from deft.priors.unet import UNetPrior

class Reached(BaseException):
    pass

def reached(*_):
    raise Reached

UNetPrior.denoise = reached
try:
    cli.main(sys.argv[1:])
except Reached:
    heavy = {"torch._dynamo", "torch._inductor", "sympy", "accelerate", "diffusers", "matplotlib"}
    print("found", *sorted(heavy & set(sys.modules)))
"""
    images = save_images(tmp_path / "images", 2, (32, 32))
    command = ["sample", "--h", "h-digits-32-box", "--images", str(images)]
    done = subprocess.run(
        [sys.executable, "-c", code, *command, "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout.split() == ["found"], done.stdout + done.stderr
