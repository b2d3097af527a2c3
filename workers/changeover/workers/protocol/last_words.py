"""Why a worker ends that has no connection to its supervisor yet: written into its stacks file, which outlives it."""

import msgspec

from changeover.workers.protocol.refusal import Refusal

_MARK = "\nthe worker refuses: "


def written(refusal: Refusal) -> bytes:
    """What goes into the file."""
    return _MARK.encode() + msgspec.json.encode(refusal) + b"\n"


def read(text: str) -> Refusal | None:
    """What the file says last; None where it is no refusal."""
    _, mark, encoded = text.rpartition(_MARK)
    try:
        return msgspec.json.decode(encoded, type=Refusal) if mark else None
    except msgspec.DecodeError:
        return None
