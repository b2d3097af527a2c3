"""Names that a library keeps for the whole process, and that an earlier content of a plugin has taken."""

PAGE = "docs/registries.md"

_TAKEN = (
    (
        "Conflicting '",
        " models in application ",
        'Django keeps models for as long as the process lives: write `strategy = "roll"` into the manifest, '
        "or put them into an installed application",
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
"""What is in the message, and what to do."""


def advised(summary: str) -> str:
    """The summary of an error, and what to do about a name that is taken in a registry of the process."""
    for begin, inside, what in _TAKEN:
        if begin in summary and inside in summary:
            return f"{summary}; {what} ({PAGE})"
    return summary
