"""Plugins are compiled once, by a process of the interpreter that will run them, and whatever fails costs only time."""

import logging
import marshal
import os
import sys
from pathlib import Path

import pytest

from changeover.supervisor.artifacts import compiling
from changeover.supervisor.artifacts.collection import collect
from changeover.supervisor.artifacts.compiling import Compiler
from changeover.supervisor.interpreters.asking import Interpreters
from changeover.workers.plugins import artifact, bytecode
from changeover.workers.plugins.modules import PluginModules
from changeover.workers.protocol.snapshot import OWN, Interpreter

FILES = {
    "pricing/__init__.py": b"from pricing.rules import PRICE\n",
    "pricing/rules.py": b"PRICE = 1\n",
    "pricing/template.py": b"def {{ name }}(): pass\n",
    "plugin.toml": b'id = "pricing"\n',
}


class Store:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.compiler = Compiler(folder, Interpreters())

    def compiled(self, files: dict[str, bytes], interpreter: Interpreter = OWN) -> str:
        """Put and compile an artifact; its digest."""
        digest = artifact.put(self.folder, files)
        self.compiler.compile(interpreter, {digest: artifact.get(self.folder, digest)})
        return digest

    def file(self, digest: str) -> Path:
        return bytecode.file_of(self.folder, digest, bytecode.tag())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_workers_find_code_of_every_module_that_can_be_compiled(store: Store) -> None:
    digest = store.compiled(FILES)
    found = bytecode.read(store.folder, digest)
    assert found.keys() == {"pricing/__init__.py", "pricing/rules.py"}
    path = str(artifact.folder_of(store.folder, digest) / "pricing/rules.py")
    assert marshal.loads(found["pricing/rules.py"]).co_filename == path


def test_a_worker_compiles_nothing_of_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = store.compiled(FILES)
    files = artifact.get(store.folder, digest)
    code = bytecode.read(store.folder, digest)
    modules = PluginModules("pricing", "a_1", artifact.folder_of(store.folder, digest), files, code)
    modules.open()
    monkeypatch.setattr("builtins.compile", None)
    try:
        assert modules.import_module("pricing").PRICE == 1
    finally:
        monkeypatch.undo()
        modules.close()


def test_workers_of_another_user_can_read_it_and_nobody_changes_it(store: Store) -> None:
    before = os.umask(0o077)
    try:
        file = store.file(store.compiled(FILES))
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o444
    assert {folder.stat().st_mode & 0o777 for folder in (file.parent, file.parent.parent)} == {0o755}
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def test_what_is_compiled_already_costs_no_process(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = store.compiled(FILES)
    made = store.file(digest).stat()
    monkeypatch.setattr("subprocess.run", None)
    assert store.compiled(FILES) == digest
    assert store.file(digest).stat() == made


def test_another_interpreter_gets_code_of_its_own(store: Store, tmp_path: Path) -> None:
    digest = store.compiled(FILES)
    other = tmp_path / "python"
    other.write_text(f'#!/bin/sh\nexec "{sys.executable}" -OO "$@"\n')
    other.chmod(0o755)
    store.compiled(FILES, Interpreter(str(other), "3.other"))
    assert len(list(store.file(digest).parent.iterdir())) == 2


def test_asserts_stay_out_where_the_workers_environment_says_so(store: Store) -> None:
    store.compiler = Compiler(store.folder, Interpreters({**os.environ, "PYTHONOPTIMIZE": "1"}))
    [name] = [file.name for file in store.file(store.compiled(FILES)).parent.iterdir()]
    assert name == bytecode.tag().rpartition("-")[0] + "-1"


@pytest.mark.parametrize(("written", "level"), [("", 0), ("1", 1), ("2", 2), ("7", 2), ("yes", 1), ("0", 0)])
def test_python_optimize_is_read_as_python_reads_it(written: str, level: int) -> None:
    assert compiling._optimized(written) == level


@pytest.mark.parametrize("source", [b"x = " + b"(" * 10**6, b"\0", b"x = " + b"-" * 10**6 + b"1", b"\xff"])
def test_source_that_cannot_be_compiled_does_not_hinder_a_neighbour_that_can(store: Store, source: bytes) -> None:
    store.compiled({"hostile.py": source})
    assert bytecode.read(store.folder, store.compiled(FILES))


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("exit 3", "its process ended with status 3"),
        ("kill -SEGV $$", "its process ended with status -11"),
        ("echo nonsense", "JSON is malformed"),
        ('echo \'{"tag": "../up", "codes": [null, null, null]}\'', "Expected `str` matching regex"),
        ('echo \'{"tag": ".hidden", "codes": [null, null, null]}\'', "Expected `str` matching regex"),
        ('echo \'{"tag": "", "codes": [null, null, null]}\'', "Expected `str` matching regex"),
        ('echo \'{"tag": "x", "codes": []}\'', "zip() argument 2 is shorter than argument 1"),
    ],
)
def test_a_process_that_fails_leaves_no_code_and_says_so(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture, program: str, why: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\ncat > /dev/null\n{program}\n")
    python.chmod(0o755)
    with caplog.at_level(logging.WARNING):
        digest = store.compiled(FILES, Interpreter(str(python), "3.11"))
    assert bytecode.read(store.folder, digest) == {}
    assert "plugins (1) are compiled by each worker, because once for all failed" in caplog.text
    assert why in caplog.text


def test_a_process_that_never_ends_is_ended(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec sleep 60\n")
    python.chmod(0o755)
    monkeypatch.setattr(compiling, "DEADLINE", 0.1)
    store.compiled(FILES, Interpreter(str(python), "3.11"))
    assert "it took more than 0.1 s" in caplog.text


def test_code_goes_with_its_artifact(store: Store) -> None:
    digest = store.compiled(FILES)
    assert collect(store.folder, []) == 1
    assert list((store.folder / bytecode.FOLDER).iterdir()) == []
    assert digest == store.compiled(FILES)
    assert bytecode.read(store.folder, digest)


def counting(folder: Path, program: str) -> tuple[Path, Path]:
    """An interpreter that does what `program` says, and the file in which it counts how often it is executed."""
    python, times = folder / "python", folder / "times"
    python.write_text(f'#!/bin/sh\necho >> {times}\ncat > {folder}/asked\n{program}\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return python, times


def test_what_a_former_supervisor_compiled_is_not_compiled_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = store.compiled(FILES)
    monkeypatch.setattr("subprocess.run", None)
    after_a_restart = Store(store.folder)
    assert after_a_restart.compiled(FILES) == digest


def test_what_ends_the_process_that_compiles_it_is_not_tried_at_every_scan(store: Store, tmp_path: Path) -> None:
    python, times = counting(tmp_path, "exit 3")
    for _ in range(3):
        store.compiled(FILES, Interpreter(str(python), "3.11"))
    assert len(times.read_text().splitlines()) == 1


def test_a_process_that_could_not_be_had_is_tried_again(store: Store, tmp_path: Path) -> None:
    python = tmp_path / "python"
    digest = store.compiled(FILES, Interpreter(str(python), "3.11"))
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    store.compiled(FILES, Interpreter(str(python), "3.11"))
    assert bytecode.read(store.folder, digest)


def test_what_ends_the_process_costs_its_neighbours_nothing(store: Store, tmp_path: Path) -> None:
    python, times = counting(tmp_path, f"grep -q hostile {tmp_path}/asked && exit 3\nexec < {tmp_path}/asked")
    interpreter = Interpreter(str(python), "3.11")
    digests = [artifact.put(store.folder, each) for each in (FILES, {"hostile.py": b"x = 1\n"})]
    files = {digest: artifact.get(store.folder, digest) for digest in digests}
    store.compiler.compile(interpreter, files)
    assert [bool(bytecode.read(store.folder, digest)) for digest in digests] == [True, False]
    before = times.read_text()
    store.compiler.compile(interpreter, files)
    assert times.read_text() == before
