"""Small programs that stand for an inverse folder and a folder, and designs to give them."""

import sys

DESIGN = """
import json, sys, pathlib
pdb, out, fixed, count = sys.argv[1:5]
names = [l[17:20] for l in open(pdb) if l[12:16].strip() == "CA"]
kept = json.load(open(fixed))[pathlib.Path(pdb).stem]["A"]
one = {"GLY": "G", "TRP": "W", "ALA": "A"}
seqs = pathlib.Path(out, "seqs"); seqs.mkdir()
with open(seqs / "x.fa", "w") as file:
    print(">input, score=1\\n" + "X" * len(names), file=file)
    for s in range(int(count)):
        text = "".join(one[n] if i + 1 in kept else "AC"[s % 2] for i, n in enumerate(names))
        print(f">T=0.1, sample={s + 1}\\n{text}", file=file)
with open(pathlib.Path(out, "..", "calls"), "a") as file:
    file.write("design ")
"""

FOLD = """
import json, pathlib, sys
pdb, fasta, out = sys.argv[1:4]
lines = [l for l in open(pdb) if l[12:16].strip() == "CA"]
records = open(fasta).read().split(">")[1:]
for record in records:
    name, sequence = record.split()
    away = 0.0 if sequence[0] == "A" else 4.0
    with open(pathlib.Path(out, name + ".pdb"), "w") as file:
        for i, l in enumerate(lines):
            x, y, z = (float(l[k : k + 8]) for k in (30, 38, 46))
            x, y, z = y + away * (i % 2), -x, z + 50  # turned and moved; bent by `away`
            file.write(l[:30] + f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00{90 - 10 * away:6.2f}\\n")
    table = [[1.0 + away] * len(lines)] * len(lines)
    pathlib.Path(out, name + ".pae.json").write_text(json.dumps({"pae": table}))
"""


def write_pdb(path, x, names=None):
    """C-alphas as a PDB file."""
    lines = [
        f"ATOM  {i + 1:5d}  CA  {names[i] if names else 'GLY'} A{i + 1:4d}    "
        f"{a:8.3f}{b:8.3f}{c:8.3f}  1.00  0.00           C\n"
        for i, (a, b, c) in enumerate(x.tolist())
    ]
    path.write_text("".join(lines) + "END\n")
    return path


def program(folder, name, text):
    """A script, and the beginning of the command that runs it."""
    path = folder / name
    path.write_text(text)
    return f"{sys.executable} {path}"
