"""What no generation has is removed from the store, and what a supervisor left there half done that was killed."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import multiprocess
import pytest

from changeover.supervisor.artifacts.collection import collect
from changeover.workers.plugins import artifact, bytecode
from changeover.workers.protocol.assembly import TlsSpec
from changeover.workers.protocol.snapshot import ChannelSpec, UnitKey, UnitKind, UnitRef

FILES = {"pkg/a.py": b"x = 1", "pkg/deep/b.py": b"y = 1"}


def killed(monkeypatch: pytest.MonkeyPatch, module: object, name: str, call: Callable[[], object]) -> None:
    """Have a process begin `call`, and end without another word where that calls `name`."""
    with monkeypatch.context() as patched:
        patched.setattr(module, name, lambda *_: os._exit(9))
        process = multiprocess.get_context("fork").Process(target=call)
        process.start()
    process.join(10)
    assert process.exitcode == 9


def kept(digest: str) -> ChannelSpec:
    """A unit that needs an artifact."""
    key = UnitKey(UnitRef(UnitKind.CHANNEL, "web"), "1f", 1)
    return ChannelSpec(key, tls=TlsSpec(digest))


@pytest.mark.parametrize("at", ["fsync", "rename"])
def test_what_was_half_stored_is_removed_by_the_next_who_collects(
    at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(monkeypatch, os, at, lambda: artifact.put(tmp_path, FILES))
    [left] = tmp_path.iterdir()
    assert left.name.startswith(".aside-")
    digest = artifact.put(tmp_path, {"a": b"1"})
    assert collect(tmp_path, [], [kept(digest)]) == 0
    assert [path.name for path in tmp_path.iterdir()] == [digest]


def test_what_was_half_removed_is_removed_by_the_next_who_collects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = artifact.put(tmp_path, FILES)
    killed(monkeypatch, shutil, "rmtree", lambda: artifact.remove(tmp_path, digest))
    [left] = tmp_path.iterdir()
    assert left.name.startswith(".gone-")
    collect(tmp_path, [])
    assert list(tmp_path.iterdir()) == []


def test_code_that_was_half_written_goes_and_the_rest_of_its_artifact_stays(tmp_path: Path) -> None:
    digest = artifact.put(tmp_path, FILES)
    file = bytecode.file_of(tmp_path, digest, bytecode.tag())
    file.parent.mkdir(parents=True)
    file.write_bytes(b"whole")
    (file.parent / f"{bytecode.ASIDE}1234").write_bytes(b"ha")
    collect(tmp_path, [], [kept(digest)])
    assert list(file.parent.iterdir()) == [file]
    assert artifact.get(tmp_path, digest) == FILES
