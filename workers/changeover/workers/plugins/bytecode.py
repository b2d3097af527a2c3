"""Compiled code of an artifact, which lies beside the artifacts: `<store>/.code/<digest>/<tag>`.

It is made from the artifact's checked source by our own code and never taken from anybody else. A
file that is damaged, or was made for a store elsewhere, is as good as none: what has no code here is
compiled when it is imported.
"""

import hashlib
import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from changeover.workers.plugins.artifact import folder_of

FOLDER = ".code"
"""Where it lies in the store."""
ASIDE = ".aside-"
"""How the name of a file begins that is being written there."""

_SUM = hashlib.sha256().digest_size

Code = dict[str, bytes]
"""Name of a source file in the artifact -> its code, marshalled."""

_decoder: msgspec.msgpack.Decoder[Code] = msgspec.msgpack.Decoder(Code)


def tag(optimize: int = sys.flags.optimize) -> str:
    """Names what compiled code depends on beside the source, of the interpreter that runs: no other can load it.

    Args:
        optimize: How often `-O` was said to whom it is for.
    """
    return f"{sys.implementation.cache_tag}-{importlib.util.MAGIC_NUMBER.hex()}-{optimize}"


def file_of(store: Path, digest: str, tag: str) -> Path:
    """Where the code of an artifact lies, or would lie, for the interpreters that `tag` names."""
    return store / FOLDER / digest / tag


def sealed(root: Path, code: Mapping[str, bytes]) -> bytes:
    """The content of such a file: a SHA-256, and the code.

    Args:
        root: The artifact's folder, which the code names in tracebacks.
        code: Name of a source file in the artifact -> its code, marshalled.
    """
    body = msgspec.msgpack.encode(dict(code))
    return _sum(root, body) + body


def _sum(root: Path, body: bytes) -> bytes:
    return hashlib.sha256(os.fsencode(root) + b"\0" + body).digest()


def read(store: Path, digest: str) -> Code:
    """The code of an artifact for this interpreter; empty where there is none, or none that is whole. Blocks."""
    try:
        content = file_of(store, digest, tag()).read_bytes()
    except OSError:
        return {}
    body = content[_SUM:]
    if _sum(folder_of(store, digest), body) != content[:_SUM]:
        return {}
    try:
        return _decoder.decode(body)
    except msgspec.DecodeError:
        return {}
