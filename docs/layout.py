"""The picture of the layout in docs/design.md, made from the imports of the source.

    python docs/layout.py

Each box is a part of the package, with the number of its files; a part stands above all
that it imports. An arrow leads from a part to one that it imports, unless another arrow implies it.
"""

from __future__ import annotations

import ast
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE, PICTURE = ROOT / "src" / "deft", ROOT / "docs" / "layout.svg"
LEAVES = {"types", "errors", "checks"}  # which nearly all parts import: their arrows are left out
WIDTH, BOX, HIGH, ROW, GAP = 900, 124, 44, 84, 56


def parts() -> dict[str, list[Path]]:
    """The files of each part: a module of the package, or a package in it."""
    found: dict[str, list[Path]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).with_suffix("").parts[0]
        if name != "__init__":
            found.setdefault(name, []).append(path)
    return found


def imports(path: Path) -> set[str]:
    """The parts that a file imports at its top, or by their name once it needs them."""
    found: set[str] = set()
    tree = ast.parse(path.read_text())
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("deft"):
            _, *rest = node.module.split(".")
            found |= {rest[0]} if rest else {alias.name for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_module":
            name = getattr(node.args[0], "value", "")
            if isinstance(name, str) and name.startswith("deft."):
                found.add(name.split(".")[1])
    return found


def graph() -> dict[str, set[str]]:
    """What each part imports of the others."""
    files = parts()
    return {
        name: {other for path in paths for other in imports(path)} & set(files) - {name}
        for name, paths in files.items()
    }


def below(edges: dict[str, set[str]], name: str) -> set[str]:
    """All that a part rests on."""
    found: set[str] = set()
    ahead = list(edges[name])
    while ahead:
        part = ahead.pop()
        if part not in found:
            found.add(part)
            ahead += edges[part]
    return found


def ranks(edges: dict[str, set[str]]) -> dict[str, int]:
    """The longest way down from each part."""
    known: dict[str, int] = {}

    def rank(name: str) -> int:
        if name not in known:
            known[name] = 1 + max((rank(other) for other in edges[name]), default=-1)
        return known[name]

    for name in edges:
        rank(name)
    return known


def places(edges: dict[str, set[str]], level: dict[str, int]) -> dict[str, tuple[float, float]]:
    """The centre of each box: rows by rank, and within a row near what it imports."""
    rows: dict[int, list[str]] = {}
    for name in sorted(edges):
        rows.setdefault(level[name], []).append(name)
    at: dict[str, tuple[float, float]] = {}
    top = max(rows)
    for k in range(top + 1):
        row = rows[k]
        if k:
            row.sort(key=lambda name: (_mean([at[other][0] for other in edges[name]]), name))
        room = len(row) * BOX + (len(row) - 1) * GAP
        for i, name in enumerate(row):
            x = (WIDTH - room) / 2 + i * (BOX + GAP) + BOX / 2
            at[name] = (x, 20 + HIGH / 2 + (top - k) * ROW)
    return at


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else WIDTH / 2


def picture() -> str:
    """The layout as SVG."""
    edges, files = graph(), parts()
    level = ranks(edges)
    at = places(edges, level)
    height = 20 + HIGH + max(level.values()) * ROW + 20
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        '<defs><marker id="head" markerWidth="8" markerHeight="8" refX="6" refY="3" '
        'orient="auto"><path d="M0,0 L6,3 L0,6 z" fill="#8a97a6"/></marker></defs>',
    ]
    for name in sorted(edges):
        near = edges[name] - LEAVES
        direct = near - {part for other in near for part in below(edges, other)}
        for other in sorted(direct):
            (x, y), (u, v) = at[name], at[other]
            start, end = y + HIGH / 2, v - HIGH / 2
            middle = (start + end) / 2
            lines.append(
                f'<path d="M{x:.0f},{start:.0f} C{x:.0f},{middle:.0f} {u:.0f},{middle:.0f} '
                f'{u:.0f},{end:.0f}" fill="none" stroke="#8a97a6" marker-end="url(#head)"/>'
            )
    for name in sorted(edges):
        x, y = at[name]
        plural = "s" if len(files[name]) > 1 else ""
        lines += [
            f'<rect x="{x - BOX / 2:.0f}" y="{y - HIGH / 2:.0f}" width="{BOX}" height="{HIGH}" '
            'rx="6" fill="#eef3f8" stroke="#5b6b7c"/>',
            f'<text x="{x:.0f}" y="{y - 2:.0f}" text-anchor="middle" font-size="14" '
            f'font-weight="600" fill="#1d2733">{escape(name)}</text>',
            f'<text x="{x:.0f}" y="{y + 14:.0f}" text-anchor="middle" font-size="11" '
            f'fill="#4a5764">{len(files[name])} file{plural}</text>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(picture())
