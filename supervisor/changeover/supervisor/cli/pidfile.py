"""The file that `--pid` asks for: for scripts that send signals, never for us to tell who a process is."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from changeover.supervisor.process.holders import holder_of_pid


@contextmanager
def pid_file(path: Path | None) -> Iterator[None]:
    """Hold our pid in a file meanwhile; removed afterwards unless somebody else wrote into it.

    Raises:
        UsageError: It cannot be written, or another supervisor that lives has it.
    """
    if path is None:
        yield
        return
    _refuse_living(path)
    ours = f"{os.getpid()}\n"
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_text(ours)
        fresh.replace(path)
    except OSError as error:
        raise click.UsageError(f"--pid {path} cannot be written: {error.strerror}") from error
    try:
        yield
    finally:
        _remove(path, ours)


def _refuse_living(path: Path) -> None:
    try:
        pid = int(path.read_text())
    except (OSError, ValueError):
        return
    holder = None if pid == os.getpid() else holder_of_pid(pid)
    if holder is not None and (command := holder.stopped_by()) is not None:
        raise click.UsageError(f"--pid {path} belongs to {holder}: choose another file; `{command}` ends it")


def _remove(path: Path, ours: str) -> None:
    try:
        if path.read_text() == ours:
            path.unlink()
    except FileNotFoundError:
        return
