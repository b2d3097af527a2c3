"""`changeover plugin pack`."""

import os
from pathlib import Path

import click

from changeover.supervisor.artifacts.folder import Found, read_plugin
from changeover.supervisor.artifacts.packing import packed
from changeover.supervisor.cli.exits import Exit, Failure
from changeover.workers.errors import ChangeoverError

HELP = """Pack the plugin's folder PATH into a wheel, which is a plugin in the folder of plugins like that folder.

The same content gives the same bytes. Hidden files, bytecode and editors' leftovers are no content and stay out; a
signature in the folder goes along and holds, because it names the content. The wheel is not to be installed.

Exit status: 0 packed; 1 it is no plugin, or none that a wheel can hold; 2 usage.
"""


@click.command("pack", help=HELP, short_help="Pack a plugin's folder into a wheel, reproducibly.")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o",
    "--output",
    "folder",
    default=".",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder that it is written to; made where it is not there.",
)
def command(path: Path, folder: Path) -> None:
    """See HELP."""
    try:
        found = _read(path.absolute())
        name, archive = packed(found)
        _write(folder / name, archive)
    except ChangeoverError as error:
        raise Failure(str(error), Exit.REFUSED) from error
    except OSError as error:
        raise Failure(f"{error.filename}: {error.strerror}", Exit.REFUSED) from error
    click.echo(f"packed {found.manifest.id} {found.manifest.version} with content {found.digest[:12]}: {folder / name}")


def _read(path: Path) -> Found:
    if path.is_file():
        raise Failure(f"{path}: is one file already, which is copied as it is; a folder is packed", Exit.REFUSED)
    found = read_plugin(path)
    if found is None:
        raise Failure(f"{path}: is no plugin: no plugin.toml in it", Exit.REFUSED)
    return found


def _write(file: Path, archive: bytes) -> None:
    """Write it whole or not at all: the folder may be one that a server takes plugins from."""
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        aside.write_bytes(archive)
        aside.rename(file)
    finally:
        aside.unlink(missing_ok=True)
