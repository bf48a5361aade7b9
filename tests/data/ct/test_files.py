import pytest

from deft.data.ct import holds_slices
from deft.data.ct.files import files_below, may_be_dicom
from deft.errors import BadImage
from tests.data.slices import stack, write_dicom


@pytest.mark.parametrize(
    ("name", "content", "is_one"),
    [
        ("a", bytes(128) + b"DICM", True),
        ("1.2.840.0", bytes(128) + b"DICM", True),
        ("a.dcm", b"", True),  # its name promises it
        ("a", b"\x08\x00\x05\x00CS\x0a\x00", True),
        ("a", b"\x08\x00\x00\x00\x04\x00\x00\x00", True),
        ("a", b"\x02\x00\x00\x00UL\x04\x00", True),
        ("a", b"\x08\x00\x00\x00\x08\x00\x00\x00", False),  # numbers
        ("a", b"\x02\x00\x00\x00\x00\x00\x80\x3f", False),
        ("README", b"Slices of patients.", False),
        ("a", b"", False),
        ("a.png", bytes(128) + b"DICM", False),
    ],
)
def test_which_files_are_dicom(tmp_path, name, content, is_one):
    (tmp_path / name).write_bytes(content)
    assert may_be_dicom(tmp_path / name) == is_one
    assert holds_slices(tmp_path) == holds_slices(tmp_path / name) == is_one


def test_a_readme_before_the_slices(tmp_path):
    pytest.importorskip("pydicom")
    (tmp_path / "AAA-README").write_text("terms")
    write_dicom(tmp_path / "1.2.840.0", stack(n=1)[0] + 1024)
    assert holds_slices(tmp_path)


def test_hidden_folders_hold_nothing(tmp_path):
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / ".ipynb_checkpoints" / "a.dcm").write_bytes(b"")
    (tmp_path / ".a.dcm").write_bytes(b"")
    assert not holds_slices(tmp_path)
    assert files_below(tmp_path) == []


def test_a_path_that_is_not_there(tmp_path):
    with pytest.raises(BadImage, match="does not exist"):
        files_below(tmp_path / "nothing")
