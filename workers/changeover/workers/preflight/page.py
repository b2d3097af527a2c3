"""A page that a rehearsal and its keeper share: what is going on, legible also when it is over in the middle of it."""

import enum
import mmap

import msgspec

from changeover.workers.protocol.refusal import Refusal

SIZE = 256 * 1024
_LENGTH = 4


class Part(enum.Enum):
    """What a rehearsal is at."""

    BEGINNING = "beginning"
    CURRENT = "current"
    """It loads what serves."""
    CANDIDATE = "candidate"
    RETIRING = "retiring"
    """It swaps the candidate in, and ends what that replaced."""
    ENDING = "ending"
    """It ends the candidate."""
    AFRESH = "afresh"
    """It loads plugins of the candidate once more, with nothing beside them."""


class Verdict(msgspec.Struct, frozen=True):
    """What is known of a candidate while its rehearsal goes on.

    Attributes:
        refusal: Why it does not pass; None when nothing is known against it.
        unproved: Whether it has still to be loaded with nothing beside it.
        modules: As in a `RehearsalReport`, and what follows.
    """

    refusal: Refusal | None = None
    unproved: bool = False
    modules: int = 0
    tests_passed: int = 0
    tests: int = 0


class Standing(msgspec.Struct, frozen=True):
    """Where a rehearsal stands.

    Attributes:
        part: What it is at.
        unit: Whose code it ran last, as the unit's `UnitRef` reads; empty before that.
        hook: Its hook, or how far it had come.
        missing: What of the confinement could not be had, in words.
        verdict: What is known of the candidate by then.
    """

    part: Part = Part.BEGINNING
    unit: str = ""
    hook: str = ""
    missing: tuple[str, ...] = ()
    verdict: Verdict = Verdict()


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Standing] = msgspec.msgpack.Decoder(Standing)


class Page:
    """Made before a fork, and the same page on both sides of it. Whoever writes it is not trusted."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, SIZE)

    def write(self, standing: Standing) -> None:
        """Say where it stands; what is too long for the page is left out."""
        body = _encoder.encode(standing)
        if len(body) > SIZE - _LENGTH:
            body = _encoder.encode(Standing(standing.part))
        self._map[: _LENGTH + len(body)] = len(body).to_bytes(_LENGTH, "little") + body

    def read(self) -> Standing:
        """Where it stands, as far as that is legible."""
        length = int.from_bytes(self._map[:_LENGTH], "little")
        try:
            return _decoder.decode(self._map[_LENGTH : _LENGTH + min(length, SIZE)])
        except (msgspec.DecodeError, ValueError, RecursionError):
            return Standing()
