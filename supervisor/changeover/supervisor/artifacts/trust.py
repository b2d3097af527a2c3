"""Which content nobody trusted has signed, where somebody has to."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from changeover.supervisor.artifacts.folder import Found
from changeover.supervisor.artifacts.problems import Problem
from changeover.workers.errors import ChangeoverError
from changeover.workers.protocol.refusal import Fault

INSTALL = "signatures need the library cryptography, which is not installed here: pip install 'changeover[sign]'"


def untrusted(taken: Iterable[Found], keys: tuple[str, ...]) -> Iterator[Problem]:
    """Say of everything that is to be taken from disk why it is not trusted. Reads the keys.

    Args:
        taken: What lies in the folder of plugins.
        keys: Files with public keys; without any, everything is trusted.
    """
    if not keys:
        return
    try:
        from changeover.supervisor.artifacts import signing
    except ImportError:
        yield Problem(INSTALL, path="$.plugins.keys")
        return
    trusted = []
    for file in keys:
        try:
            trusted.append(signing.public_key(Path(file).read_bytes()))
        except OSError as error:
            yield Problem(f"cannot be read: {error.strerror}", file, "$.plugins.keys")
        except ChangeoverError as error:
            yield Problem(str(error), file, "$.plugins.keys")
    for found in taken:
        reason = "is not signed, and plugins.keys asks for it: `changeover plugin sign`"
        manifest = found.manifest
        if found.signature:
            try:
                signing.verify(found.signature, signing.Statement(found.digest, manifest.id, manifest.version), trusted)
                continue
            except ChangeoverError as error:
                reason = f"{error}; `changeover plugin sign` signs what is to be taken"
        yield Problem(f"{manifest.id} {manifest.version}: {reason}", found.path, "", Fault.CAPABILITY, manifest.id)
