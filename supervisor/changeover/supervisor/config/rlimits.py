"""Limits that the kernel keeps for workers, as people write them: `nofile=65536`, `core=0:unlimited`."""

import resource

import msgspec

from changeover.workers.protocol.document import Mistake, nearest, size

_PREFIX = "RLIMIT_"
RESOURCES: dict[str, int] = {
    name.removeprefix(_PREFIX).lower(): value for name, value in vars(resource).items() if name.startswith(_PREFIX)
}
"""Name -> the kernel's number, of every limit that this system has."""
UNLIMITED = "unlimited"
SIZES = ("as", "core", "data", "fsize", "memlock", "msgqueue", "rss", "stack")
"""Those that the kernel counts in bytes."""


class Rlimit(msgspec.Struct, frozen=True):
    """One limit.

    Attributes:
        name: As people write it.
        resource: The kernel's number.
        soft: What is in force; -1 = unlimited.
        hard: How far a process may raise it itself; -1 = unlimited.
    """

    name: str
    resource: int
    soft: int
    hard: int

    def exceeds(self, hard: int) -> bool:
        """Whether it is above another hard limit."""
        return hard != resource.RLIM_INFINITY and not 0 <= self.hard <= hard


class BadRlimit(ValueError):
    """Text that is no limit."""


def parse_rlimit(text: str) -> Rlimit:
    """Read a limit; one value is both soft and hard, as `ulimit` has it.

    Raises:
        BadRlimit: `text` is none.
    """
    name, equals, written = text.partition("=")
    if name not in RESOURCES:
        raise BadRlimit(f"{name!r} is no limit of this system{nearest(name, RESOURCES)}")
    soft, colon, hard = written.partition(":")
    values = [_value(text, each, name in SIZES) for each in ((soft, hard) if colon else (soft, soft))]
    if not equals or (values[1] >= 0 and not 0 <= values[0] <= values[1]):
        raise BadRlimit(f"{text!r} has a soft limit above its hard one" if equals else _how(text))
    return Rlimit(name, RESOURCES[name], *values)


def mistakes(path: str, limits: tuple[str, ...]) -> list[Mistake]:
    """Say which of them are no limits, or stand there twice."""
    found, names = [], set()
    for index, text in enumerate(limits):
        try:
            limit = parse_rlimit(text)
        except BadRlimit as error:
            found.append(Mistake(f"{path}[{index}]", str(error)))
        else:
            if limit.name in names:
                found.append(Mistake(f"{path}[{index}]", f"{limit.name} stands here twice"))
            names.add(limit.name)
    return found


def _value(text: str, written: str, sized: bool) -> int:
    if written == UNLIMITED:
        return resource.RLIM_INFINITY
    try:
        value = size(written)
    except ValueError:
        raise BadRlimit(_how(text)) from None
    if value < 0 or not (sized or (written.isascii() and written.isdigit())):
        raise BadRlimit(_how(text))
    return value


def _how(text: str) -> str:
    example = "`nofile=65536`, `nofile=1024:65536`, `as=2GiB` (sizes alone have units) or `core=unlimited`"
    return f"{text!r} is no limit: write it like {example}"
