import numpy as np
import pytest
import torch

from deft.data.proteins.chains import read_chains
from deft.errors import InvalidInput
from tests.data.proteins.made import chain, helix, mmcif, pdb
from tests.refusal import refused

TABLE = "coords (n, 3), finite, and lengths (chains,)"


def structures(folder):
    pytest.importorskip("gemmi", reason="gemmi is in the extra `protein`")
    without = [line for line in chain(12, "B") if not (" CA " in line and line[22:26] == "   6")]
    broken = [*chain(7, "C"), *chain(9, "C", 20, shift=30)]
    (folder / "a.pdb").write_text(pdb(chain(8), without, broken))
    (folder / "b.cif").write_text(mmcif(10))
    (folder / "notes.txt").write_text("left out")


def test_a_folder_of_structures(tmp_path):
    structures(tmp_path)
    chains = read_chains(tmp_path, shortest=6)
    assert [len(x) for x in chains] == [8, 6, 7, 9, 10]
    torch.testing.assert_close(chains[0], torch.tensor(helix(8)), atol=6e-4, rtol=0)
    assert [len(x) for x in read_chains(tmp_path / "b.cif", shortest=6)] == [10]
    refused(
        lambda: read_chains(tmp_path),
        "no chain of 40 residues or more; the longest has 10",
        ".pdb, .ent, .cif, .mmcif files",
    )


def test_a_table(tmp_path):
    path = tmp_path / "chains.npz"
    coords = np.arange(36, dtype=np.float32).reshape(12, 3)
    np.savez(path, coords=coords, lengths=np.array([5, 7]), ids=np.array(["a", "b"]))
    chains = read_chains(path, shortest=5)
    assert [len(x) for x in chains] == [5, 7]
    torch.testing.assert_close(torch.cat(chains), torch.from_numpy(coords))
    assert [len(x) for x in read_chains(path, shortest=6)] == [7]


@pytest.mark.parametrize(
    ("held", "given"),
    [
        ({"lengths": [3]}, "no coords"),
        ({"coords": [[0.0, 0, 0]]}, "no lengths"),
        ({"coords": [[0.0, 0, 0]], "lengths": [2]}, "coords float64 (1, 3) and lengths int64 (1,)"),
        ({"coords": [[0.0, 0]], "lengths": [1]}, "coords float64 (1, 2) and lengths int64 (1,)"),
        ({"coords": [[0, 0, 0]], "lengths": [1]}, "coords int64 (1, 3) and lengths int64 (1,)"),
        ({"coords": [[np.nan, 0, 0]], "lengths": [1]}, "coords float64 (1, 3) and"),
        ({"coords": [[0.0, 0, 0]], "lengths": [[1]]}, "coords float64 (1, 3) and"),
    ],
)
def test_tables_of_another_kind(tmp_path, held, given):
    path = tmp_path / "chains.npz"
    np.savez(path, **{name: np.array(value) for name, value in held.items()})
    with pytest.raises(InvalidInput) as raised:
        read_chains(path, shortest=1)
    assert given in raised.value.given
    assert TABLE in raised.value.expected


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "chains.npz"
    path.write_bytes(b"no archive")
    with pytest.raises(InvalidInput) as raised:
        read_chains(path)
    assert "what cannot be read" in raised.value.given
    with pytest.raises(InvalidInput):
        read_chains(tmp_path / "gone.npz")
    with pytest.raises(InvalidInput):
        read_chains(tmp_path / "gone.pdb")
    refused(lambda: read_chains(tmp_path, 0), 0, ">= 1")
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(lambda: read_chains(empty), "no chain", "an .npz file with coords and lengths")
