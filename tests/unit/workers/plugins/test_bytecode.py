"""Compiled code is taken where it lies whole for this interpreter; else everything goes on without."""

import hashlib
import marshal
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from changeover.workers.plugins import artifact, bytecode
from changeover.workers.plugins.compiling import LARGE
from changeover.workers.plugins.modules import PluginModules

DIGEST = "9c41ab"


def store_with(folder: Path, content: bytes) -> Path:
    file = bytecode.file_of(folder, DIGEST, bytecode.tag())
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    return folder


def test_what_was_sealed_is_read(tmp_path: Path) -> None:
    code = {"pricing/__init__.py": b"one", "pricing/rules.py": b"two"}
    assert bytecode.read(store_with(tmp_path, sealed(tmp_path, code)), DIGEST) == code
    assert bytecode.read(tmp_path, "another") == {}


def sealed(store: Path, code: dict[str, bytes]) -> bytes:
    return bytecode.sealed(artifact.folder_of(store, DIGEST), code)


def foreign(store: Path) -> bytes:
    body = b"\x91\x01"
    return hashlib.sha256(os.fsencode(artifact.folder_of(store, DIGEST)) + b"\0" + body).digest() + body


WHOLE = {"pricing.py": b"one"}


@pytest.mark.parametrize(
    "content",
    [
        lambda store: b"",
        lambda store: sealed(store, WHOLE)[:-1],
        lambda store: b"x" + sealed(store, WHOLE)[1:],
        foreign,
        lambda store: sealed(store / "earlier", WHOLE),
    ],
    ids=["empty", "cut", "altered", "whole and something else", "of a store that was moved"],
)
def test_what_cannot_be_used_is_as_good_as_none(tmp_path: Path, content: Callable[[Path], bytes]) -> None:
    assert bytecode.read(store_with(tmp_path, content(tmp_path)), DIGEST) == {}


def test_the_code_of_another_interpreter_is_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store_with(tmp_path, sealed(tmp_path, WHOLE))
    monkeypatch.setattr("importlib.util.MAGIC_NUMBER", b"\0\0\r\n")
    assert bytecode.read(tmp_path, DIGEST) == {}


def test_a_module_with_code_runs_it_and_the_others_are_compiled(tmp_path: Path) -> None:
    files = {"fast.py": b"from slow import WHICH\n", "slow.py": b"WHICH = 'compiled here'\n"}
    root = artifact.folder_of(tmp_path, artifact.put(tmp_path, files))
    code = compile("from slow import WHICH\nFOUND = True\n", str(root / "fast.py"), "exec")
    modules = PluginModules("pricing", "a_1", root, files, {"fast.py": marshal.dumps(code)})
    modules.open()
    try:
        fast = modules.import_module("fast")
        assert (fast.FOUND, fast.WHICH) == (True, "compiled here")
    finally:
        modules.close()


def test_a_large_module_with_code_is_not_compiled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"large.py": b"#" * LARGE}
    root = artifact.folder_of(tmp_path, artifact.put(tmp_path, files))
    code = compile("FOUND = True\n", str(root / "large.py"), "exec")
    modules = PluginModules("pricing", "a_1", root, files, {"large.py": marshal.dumps(code)})
    monkeypatch.setattr("subprocess.run", None)
    modules.open()
    try:
        assert modules.import_module("large").FOUND
    finally:
        modules.close()
