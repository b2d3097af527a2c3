"""The commit cell: written by one process, read by all, and never found elsewhere."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from changeover.workers.generation.cell import CellWriter, SharedCell


def test_a_store_is_seen_by_every_reader_at_once(tmp_path: Path) -> None:
    writer = CellWriter.make(tmp_path / "epoch.cell")
    readers = [SharedCell(writer.fd) for _ in range(3)]
    assert [reader.read() for reader in readers] == [0, 0, 0]
    writer.store(2**63 + 1)
    assert [reader.read() for reader in readers] == [2**63 + 1] * 3
    for reader in readers:
        reader.close()
    writer.close()


def test_a_reader_in_another_process_sees_the_store(tmp_path: Path) -> None:
    writer = CellWriter.make(tmp_path / "epoch.cell")
    reader = SharedCell(writer.fd)
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(told, 1)
        os._exit(reader.read())
    writer.store(7)
    os.write(tell, b"!")
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7
    os.close(told)
    os.close(tell)
    reader.close()
    writer.close()


def test_a_later_writer_begins_a_cell_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "epoch.cell"
    first = CellWriter.make(path)
    first.store(4)
    reader = SharedCell(first.fd)
    first.close()
    second = CellWriter.make(path)
    assert second.read() == 0
    second.store(5)
    assert reader.read() == 4
    reader.close()
    second.close()


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_a_link_in_its_place_is_not_followed(tmp_path: Path, link: Callable[[Path, Path], None]) -> None:
    path, elsewhere = tmp_path / "epoch.cell", tmp_path / "elsewhere"
    elsewhere.write_bytes(b"precious")
    link(path, elsewhere)
    writer = CellWriter.make(path)
    writer.store(6)
    assert elsewhere.read_bytes() == b"precious"
    assert not path.is_symlink()
    assert path.stat().st_ino == os.fstat(writer.fd).st_ino
    writer.close()


def test_a_link_to_nothing_makes_no_file_there(tmp_path: Path) -> None:
    path, elsewhere = tmp_path / "epoch.cell", tmp_path / "elsewhere"
    path.symlink_to(elsewhere)
    CellWriter.make(path).close()
    assert not elsewhere.exists()


def test_parts_have_words_of_their_own(tmp_path: Path) -> None:
    writer = CellWriter.make(tmp_path / "epoch.cell")
    writer.store(8)
    writer.store(9, part=1)
    assert writer.latest() == 9
    whole, part = SharedCell(writer.fd), SharedCell(writer.fd, part=1)
    assert (whole.read(), part.read()) == (8, 9)
    whole.close()
    part.close()
    writer.close()
