"""What the command line says of the environment: `--env` and `--env-file`."""

from collections.abc import Iterator
from pathlib import Path

import click


def variables(files: tuple[Path, ...], given: tuple[str, ...]) -> dict[str, str]:
    """Read variables; what is given on the command line wins over files, later over earlier.

    Raises:
        UsageError: A line or an argument is not NAME=VALUE, or a file cannot be read.
    """
    found: dict[str, str] = {}
    for file in files:
        found.update(_in_file(file))
    for argument in given:
        name, equals, value = argument.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--env {argument!r} is not NAME=VALUE")
        found[name] = value
    return found


def _in_file(file: Path) -> Iterator[tuple[str, str]]:
    try:
        text = file.read_text("utf-8")
    except OSError as error:
        raise click.UsageError(f"--env-file {file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise click.UsageError(f"--env-file {file} is not UTF-8: {error.reason} at byte {error.start}") from error
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip().removeprefix("export ").strip()
        if not stripped or stripped.startswith("#"):
            continue
        name, equals, value = stripped.partition("=")
        if not equals or not name.strip():
            raise click.UsageError(f"{file}:{number}: {line!r} is not NAME=VALUE")
        yield name.strip(), _unquoted(value.strip())


def _unquoted(value: str) -> str:
    for quote in ('"', "'"):
        if len(value) > 1 and value.startswith(quote) and value.endswith(quote):
            return value[1:-1]
    return value
