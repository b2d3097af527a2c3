"""Artifacts are named by what they contain and by nothing else."""

import os
from pathlib import Path

import pytest

from changeover.workers.plugins import artifact


def plugin(root: Path) -> Path:
    (root / "pkg").mkdir(parents=True)
    (root / "plugin.toml").write_text('id = "x"\n')
    (root / "pkg" / "__init__.py").write_text("x = 1\n")
    return root


def test_equal_content_has_one_digest_wherever_and_whenever_it_was_written(tmp_path: Path) -> None:
    one, two = plugin(tmp_path / "one"), plugin(tmp_path / "two")
    os.utime(two / "plugin.toml", (1, 1))
    assert artifact.digest_of(artifact.read_files(one)) == artifact.digest_of(artifact.read_files(two))


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"a": b"bc"}, {"ab": b"c"}),
        ({"a": b"1", "b": b"2"}, {"a": b"2", "b": b"1"}),
        ({"a": b""}, {}),
        ({"a": b"1"}, {"b": b"1"}),
    ],
)
def test_names_and_contents_cannot_be_confused(one: dict[str, bytes], two: dict[str, bytes]) -> None:
    assert artifact.digest_of(one) != artifact.digest_of(two)


def test_bytecode_hidden_files_and_editors_leftovers_are_no_content(tmp_path: Path) -> None:
    root = plugin(tmp_path / "one")
    before = artifact.read_files(root)
    (root / "pkg" / "__pycache__").mkdir()
    (root / "pkg" / "__pycache__" / "x.pyc").write_bytes(b"x")
    (root / ".plugin.toml.swp").write_bytes(b"x")
    (root / "plugin.toml~").write_bytes(b"x")
    assert artifact.read_files(root) == before


def test_a_single_file_is_an_artifact_of_one_file(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_bytes(b"x = 1\n")
    assert artifact.read_files(tmp_path / "hello.py") == {"hello.py": b"x = 1\n"}


def test_what_was_put_comes_back_and_is_read_only(tmp_path: Path) -> None:
    store, files = tmp_path / "store", artifact.read_files(plugin(tmp_path / "one"))
    digest = artifact.put(store, files)
    assert artifact.put(store, files) == digest
    assert artifact.get(store, digest) == files
    assert [entry.name for entry in store.iterdir()] == [digest]
    assert all(path.stat().st_mode & 0o222 == 0 for path in (store / digest, *(store / digest).rglob("*")))
    artifact.remove(store, digest)
    assert list(store.iterdir()) == []


def test_a_changed_artifact_is_not_taken_for_what_its_name_says(tmp_path: Path) -> None:
    digest = artifact.put(tmp_path, {"a.py": b"x = 1"})
    (tmp_path / digest / "a.py").chmod(0o644)
    (tmp_path / digest / "a.py").write_bytes(b"x = 2")
    with pytest.raises(artifact.CorruptArtifact, match=f"is not the content that its name says; remove {tmp_path}/"):
        artifact.get(tmp_path, digest)
    with pytest.raises(artifact.CorruptArtifact, match="no such"):
        artifact.get(tmp_path, "0" * 64)


def test_workers_of_another_user_can_read_an_artifact_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        digest = artifact.put(tmp_path, {"pkg/a.py": b"x = 1"})
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / digest).rglob("*")}
    assert modes == {"pkg": 0o555, "a.py": 0o444}


def test_all_of_an_artifact_is_on_disk_before_it_has_its_name_and_then_its_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, rename = os.fsync, os.rename

    def synced(fd: int) -> None:
        done.append(Path(os.readlink(f"/proc/self/fd/{fd}")).name)
        sync(fd)

    def renamed(source: Path, target: Path) -> None:
        done.append("renamed")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    store = tmp_path / "store"
    artifact.put(store, {"pkg/a.py": b"x = 1", "plugin.toml": b""})
    before, after = done[: done.index("renamed")], done[done.index("renamed") + 1 :]
    assert {"a.py", "plugin.toml", "pkg"} < set(before)
    assert any(name.startswith(".aside-") for name in before)
    assert after == ["store"]


def test_an_artifact_that_the_disk_refuses_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        artifact.put(tmp_path, {"pkg/a.py": b"x = 1"})
    assert list(tmp_path.iterdir()) == []


def test_a_link_that_leads_back_ends_and_a_pipe_is_refused(tmp_path: Path) -> None:
    root = plugin(tmp_path / "one")
    (root / "loop").symlink_to(root)
    assert sorted(artifact.read_files(root)) == ["pkg/__init__.py", "plugin.toml"]
    os.mkfifo(root / "pipe")
    with pytest.raises(artifact.UnreadableArtifact, match="neither a file nor a folder"):
        artifact.read_files(root)
