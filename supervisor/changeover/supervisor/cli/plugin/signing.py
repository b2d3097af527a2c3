"""`changeover plugin sign`."""

import os
from pathlib import Path

import click

from changeover.supervisor.artifacts.folder import Found, read_plugin, signature_of
from changeover.supervisor.artifacts.trust import INSTALL
from changeover.supervisor.cli.exits import Exit, Failure
from changeover.workers.errors import ChangeoverError

HELP = """Sign the plugin at PATH: a folder, a wheel, or one file.

The signature names its id, version and content; it lies in `plugin.sig.json` in a folder, and beside a file in
`FILE.sig.json`, in the place of an earlier one. Servers whose `plugins.keys` has the public key take the plugin as
long as nothing in it changes. `openssl genpkey -algorithm ed25519 -out key.pem` makes a key, and
`openssl pkey -in key.pem -pubout -out public.pem` what servers need of it.

Exit status: 0 signed; 1 it is no plugin, or the key none that can sign; 2 usage.
"""


@click.command("sign", help=HELP)
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--key",
    "file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the private key.",
)
def command(path: Path, file: Path) -> None:
    """See HELP."""
    try:
        found = read_plugin(path)
        if found is None:
            raise Failure(f"{path}: no plugin; `changeover check` says why", Exit.REFUSED)
        signature = _signature(found, file)
        kept = _kept(path, signature)
    except ChangeoverError as error:
        raise Failure(str(error), Exit.REFUSED) from error
    except OSError as error:
        raise Failure(f"{error.filename}: {error.strerror}", Exit.REFUSED) from error
    click.echo(f"signed {found.manifest.id} {found.manifest.version} with content {found.digest[:12]}: {kept}")


def _signature(found: Found, file: Path) -> bytes:
    try:
        from changeover.supervisor.artifacts import signing
    except ImportError as error:
        raise Failure(INSTALL, Exit.REFUSED) from error
    try:
        key = signing.private_key(file.read_bytes())
    except signing.KeyUnusable as error:
        raise Failure(f"{file}: {error}", Exit.REFUSED) from error
    return signing.signed(signing.Statement(found.digest, found.manifest.id, found.manifest.version), key)


def _kept(path: Path, signature: bytes) -> Path:
    """Put it where it belongs, whole or not at all."""
    kept = signature_of(path)
    aside = kept.with_name(f".{kept.name}.{os.getpid()}")
    try:
        aside.write_bytes(signature)
        aside.rename(kept)
    finally:
        aside.unlink(missing_ok=True)
    return kept
