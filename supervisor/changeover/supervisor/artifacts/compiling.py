"""Compiles what is stored, once for all workers, in a limited process of the interpreter that will run it.

`compile` of hostile source can exhaust memory or end the process that calls it, so neither the supervisor nor a worker
does it. What cannot be compiled has no code in the store: its import compiles it, or says why not.
"""

import itertools
import logging
import marshal
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from changeover.supervisor.interpreters.asking import Interpreters
from changeover.supervisor.interpreters.paths import OURS
from changeover.workers.plugins import bytecode
from changeover.workers.plugins.artifact import Files, folder_of
from changeover.workers.protocol.snapshot import Interpreter

log = logging.getLogger("changeover.plugins")

DEADLINE = 20.0
"""Seconds that the process may take."""
MEMORY = 1024 * 1024 * 1024
"""Bytes of address space that it may have."""

_PROGRAM = f"""
import resource, sys
for limit, most in ((resource.RLIMIT_AS, {MEMORY}), (resource.RLIMIT_CPU, {DEADLINE:.0f}), (resource.RLIMIT_CORE, 0)):
    hard = resource.getrlimit(limit)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(limit, (most, most))
import binascii, marshal, _frozen_importlib_external
codes = []
for path, source in marshal.load(sys.stdin.buffer):
    try:
        code = marshal.dumps(compile(source, path, "exec", dont_inherit=True))
    except Exception:
        codes.append("null")
    else:
        codes.append('"' + binascii.b2a_base64(code, newline=False).decode() + '"')
tag = [sys.implementation.cache_tag, _frozen_importlib_external.MAGIC_NUMBER.hex(), str(sys.flags.optimize)]
print('{{"tag": "' + "-".join(tag) + '", "codes": [' + ",".join(codes) + "]}}")
"""
"""Imports next to nothing and writes JSON by hand: half of its time was the import of what does that."""
_MARSHAL = 2
"""The version of `marshal` that every Python reads."""

_TAG = r"^[A-Za-z0-9_-][A-Za-z0-9._-]*\Z"


class _Compiled(msgspec.Struct, frozen=True):
    """What the process says.

    Attributes:
        tag: Its `bytecode.tag`, which names a file of ours.
        codes: Marshalled code for each source, None where it is none; nobody here unmarshals it.
    """

    tag: Annotated[str, msgspec.Meta(pattern=_TAG, max_length=200)]
    codes: tuple[bytes | None, ...]


class Compiler:
    """Keeps compiled code beside the artifacts of a store.

    Args:
        store: The artifact store.
        interpreters: As whom and where workers are executed.
    """

    def __init__(self, store: Path, interpreters: Interpreters) -> None:
        self._store = store
        self._interpreters = interpreters
        self._tags: dict[Interpreter, str] = {}
        self._failed: set[tuple[Interpreter, str]] = set()

    def compile(self, interpreter: Interpreter, artifacts: Mapping[str, Files]) -> None:
        """Compile the artifacts that have no code for an interpreter yet, all in one process. Blocks.

        What fails is told in the log, and everything goes on without code. Where several fail together each is tried
        by itself, for one more deadline in all: what ends the process that compiles it costs its neighbours nothing,
        and is not tried again.

        Args:
            interpreter: What will execute them.
            artifacts: Digest -> files, as they were checked.
        """
        tag = self._tag(interpreter)
        missing = {
            digest: sources
            for digest, files in artifacts.items()
            if (interpreter, digest) not in self._failed
            if (sources := _sources(files)) and not (tag and bytecode.file_of(self._store, digest, tag).is_file())
        }
        if not missing or self._compiled(interpreter, missing) or len(missing) == 1:
            return
        end = time.monotonic() + DEADLINE
        for digest, sources in missing.items():
            if time.monotonic() < end:
                self._compiled(interpreter, {digest: sources})

    def _tag(self, interpreter: Interpreter) -> str:
        """Where code for an interpreter lies; empty where only that interpreter could say, and did not yet."""
        ours = bytecode.tag(self._optimize) if interpreter.python in ("", OURS) else ""
        return self._tags.get(interpreter, ours)

    @property
    def _optimize(self) -> int:
        return _optimized(self._interpreters.environment.get("PYTHONOPTIMIZE", ""))

    def _compiled(self, interpreter: Interpreter, missing: Mapping[str, Mapping[str, bytes]]) -> bool:
        """Compile in one process; whether that went well, or may go well another time."""
        try:
            compiled = self._executed(interpreter.python or OURS, missing)
            self._tags[interpreter] = compiled.tag
            codes = iter(compiled.codes)
            for digest, sources in missing.items():
                made = zip(sources, itertools.islice(codes, len(sources)), strict=True)
                self._keep(digest, compiled.tag, {name: code for name, code in made if code is not None})
        except OSError as error:
            _tell(missing, str(error))
        except subprocess.TimeoutExpired:
            return self._lost(interpreter, missing, f"it took more than {DEADLINE:g} s")
        except subprocess.CalledProcessError as error:
            return self._lost(interpreter, missing, f"its process ended with status {error.returncode}")
        except ValueError as error:
            return self._lost(interpreter, missing, str(error))
        return True

    def _lost(self, interpreter: Interpreter, missing: Mapping[str, object], why: str) -> bool:
        _tell(missing, why)
        if len(missing) == 1:
            self._failed |= {(interpreter, digest) for digest in missing}
        return False

    def _executed(self, python: str, artifacts: Mapping[str, Mapping[str, bytes]]) -> _Compiled:
        told = [
            (str(folder_of(self._store, digest) / name), source)
            for digest, sources in artifacts.items()
            for name, source in sources.items()
        ]
        environment, account = self._interpreters.environment, self._interpreters.account
        optimize = ["-O"] * self._optimize
        run = subprocess.run(
            [python, "-I", "-S", *optimize, "-c", _PROGRAM],
            input=marshal.dumps(told, _MARSHAL),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self._interpreters.directory,
            env=environment,
            timeout=DEADLINE,
            check=True,
            start_new_session=True,
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else account.groups,
        )
        return msgspec.json.decode(run.stdout, type=_Compiled)

    def _keep(self, digest: str, tag: str, code: Mapping[str, bytes]) -> None:
        file = bytecode.file_of(self._store, digest, tag)
        file.parent.mkdir(parents=True, exist_ok=True)
        for folder in (file.parent, file.parent.parent):
            folder.chmod(0o755)  # whatever the umask: workers of another user read it
        fd, aside = tempfile.mkstemp(prefix=bytecode.ASIDE, dir=file.parent)
        try:
            with os.fdopen(fd, "wb") as handle:
                os.fchmod(fd, 0o444)
                handle.write(bytecode.sealed(folder_of(self._store, digest), code))
            os.rename(aside, file)
        except BaseException:
            os.unlink(aside)
            raise


def _tell(missing: Mapping[str, object], why: str) -> None:
    log.warning("plugins (%d) are compiled by each worker, because once for all failed: %s", len(missing), why)


def _sources(files: Files) -> dict[str, bytes]:
    return {name: source for name, source in files.items() if name.endswith(".py") and name.isprintable()}


def _optimized(written: str) -> int:
    """How often `-O` stands for what `PYTHONOPTIMIZE` says."""
    if not written:
        return 0
    return max(0, min(2, int(written))) if written.isdecimal() else 1
