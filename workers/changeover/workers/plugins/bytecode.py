"""Compiled code of an artifact, which lies beside the artifacts: `<store>/.code/<digest>/<tag>`.

It is made from the artifact's checked source by our own code and never taken from anybody else. A
file that is damaged is as good as none: what has no code here is compiled when it is imported.
"""

import hashlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

FOLDER = ".code"
"""Where it lies in the store."""

_SUM = hashlib.sha256().digest_size

Code = dict[str, bytes]
"""Name of a source file in the artifact -> its code, marshalled."""

_decoder: msgspec.msgpack.Decoder[Code] = msgspec.msgpack.Decoder(Code)


def tag() -> str:
    """Names what compiled code depends on beside the source, of the interpreter that runs: no other can load it."""
    return f"{sys.implementation.cache_tag}-{importlib.util.MAGIC_NUMBER.hex()}-{sys.flags.optimize}"


def file_of(store: Path, digest: str, tag: str) -> Path:
    """Where the code of an artifact lies, or would lie, for the interpreters that `tag` names."""
    return store / FOLDER / digest / tag


def sealed(code: Mapping[str, bytes]) -> bytes:
    """The content of such a file: the SHA-256 of what follows, and the code."""
    body = msgspec.msgpack.encode(dict(code))
    return hashlib.sha256(body).digest() + body


def read(store: Path, digest: str) -> Code:
    """The code of an artifact for this interpreter; empty where there is none, or none that is whole. Blocks."""
    try:
        content = file_of(store, digest, tag()).read_bytes()
    except OSError:
        return {}
    body = content[_SUM:]
    if hashlib.sha256(body).digest() != content[:_SUM]:
        return {}
    try:
        return _decoder.decode(body)
    except msgspec.DecodeError:
        return {}
