import os

import pytest

from deft.data.files import atomic


def test_replaces_in_one_step(tmp_path):
    path = tmp_path / "new" / "a"
    for content in (b"one", b"two"):
        with atomic(path) as file:
            file.write(content)
        assert path.read_bytes() == content
    assert os.listdir(path.parent) == ["a"]


def test_an_error_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def stop(file):
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), atomic(path) as file:
        stop(file)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]
