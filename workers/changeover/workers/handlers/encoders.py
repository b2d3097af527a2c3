"""Content encodings, as far as there are libraries for them."""

import importlib
import importlib.util
import zlib
from collections.abc import Callable
from typing import Any, Protocol


class Encoder(Protocol):
    """Encodes one body, piece by piece."""

    def encode(self, data: bytes) -> bytes:
        """The next piece, with everything that is needed to read it."""

    def finish(self) -> bytes:
        """The end."""


class Gzip:
    """`gzip`, by the standard library.

    Args:
        level: 1 to 9.
    """

    def __init__(self, level: int) -> None:
        self._deflate = zlib.compressobj(level, wbits=31)

    def encode(self, data: bytes) -> bytes:
        """See `Encoder`."""
        return self._deflate.compress(data) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        """See `Encoder`."""
        return self._deflate.flush()


class Brotli:
    """`br`.

    Args:
        level: 1 to 9.
    """

    def __init__(self, level: int) -> None:
        self._compressor: Any = _module("brotli", "brotlicffi").Compressor(quality=level)

    def encode(self, data: bytes) -> bytes:
        """See `Encoder`."""
        piece: bytes = self._compressor.process(data) + self._compressor.flush()
        return piece

    def finish(self) -> bytes:
        """See `Encoder`."""
        end: bytes = self._compressor.finish()
        return end


class Zstandard:
    """`zstd`.

    Args:
        level: 1 to 9.
    """

    def __init__(self, level: int) -> None:
        module = _module("zstandard")
        self._compressor: Any = module.ZstdCompressor(level=level).compressobj()
        self._block: int = module.COMPRESSOBJ_FLUSH_BLOCK

    def encode(self, data: bytes) -> bytes:
        """See `Encoder`."""
        piece: bytes = self._compressor.compress(data) + self._compressor.flush(self._block)
        return piece

    def finish(self) -> bytes:
        """See `Encoder`."""
        end: bytes = self._compressor.flush()
        return end


ENCODERS: dict[str, tuple[Callable[[int], Encoder], tuple[str, ...]]] = {
    "gzip": (Gzip, ()),
    "br": (Brotli, ("brotli", "brotlicffi")),
    "zstd": (Zstandard, ("zstandard",)),
}
"""Encoding -> what does it, and the libraries of which one is needed; none for the standard library's own."""


def is_there(encoding: str) -> bool:
    """Whether there is a library for an encoding."""
    libraries = ENCODERS[encoding][1]
    return not libraries or any(importlib.util.find_spec(library) for library in libraries)


def encoder(encoding: str, level: int) -> Encoder:
    """What encodes one body."""
    return ENCODERS[encoding][0](level)


def _module(*names: str) -> Any:
    return importlib.import_module(next(name for name in names if importlib.util.find_spec(name)))
