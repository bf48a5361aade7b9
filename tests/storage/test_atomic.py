import os
import socket

import pytest

from deft.storage.atomic import atomic


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


def test_what_a_killed_process_left_is_removed_and_what_another_writes_is_not(tmp_path):
    host = socket.gethostname()
    dead, living = (
        tmp_path / f".a.{host}-{2**22 + 1}-00.partial",
        tmp_path / f".a.{host}-{os.getppid()}-00.partial",
    )
    elsewhere, other = (
        tmp_path / ".a.another-1-00.partial",
        tmp_path / f".b.{host}-{2**22 + 1}-00.partial",
    )
    for file in (dead, living, elsewhere, other):
        file.write_bytes(b"half")
    with atomic(tmp_path / "a") as file:
        file.write(b"whole")
    assert [file.exists() for file in (dead, living, elsewhere, other)] == [False, True, True, True]


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    with atomic(tmp_path / "a") as one, atomic(tmp_path / "a") as two:
        one.write(b"one")
        two.write(b"two")
    assert (tmp_path / "a").read_bytes() == b"one"  # the outer block ends last
