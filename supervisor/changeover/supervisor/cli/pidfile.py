"""The file that `--pid` asks for: for scripts that send signals, never for us to tell who a process is."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click


@contextmanager
def pid_file(path: Path | None) -> Iterator[None]:
    """Hold our pid in a file meanwhile; removed afterwards unless somebody else wrote into it.

    Raises:
        UsageError: It cannot be written.
    """
    if path is None:
        yield
        return
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


def _remove(path: Path, ours: str) -> None:
    try:
        if path.read_text() == ours:
            path.unlink()
    except FileNotFoundError:
        return
