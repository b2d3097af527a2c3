"""Names that a library keeps for the whole process, and that an earlier content of a plugin has taken."""

PAGE = "docs/registries.md"

_TAKEN = (
    (
        "Conflicting '",
        " models in application ",
        "Django keeps models for as long as the process lives: put them into an installed application, "
        "which changes by a roll",
    ),
    (
        "Duplicated timeseries in CollectorRegistry",
        "",
        "metrics of a plugin belong into a CollectorRegistry of its own",
    ),
    (
        "Table '",
        " is already defined for this MetaData instance",
        "tables of a plugin belong to a MetaData or DeclarativeBase of its own",
    ),
)
"""How the message begins, what else is in it, and what to do."""


def advice(error: BaseException) -> str:
    """What to do about a name that is taken in a registry of the process; empty for other errors."""
    text = str(error)
    for begin, inside, what in _TAKEN:
        if text.startswith(begin) and inside in text:
            return f"{what} ({PAGE})"
    return ""
