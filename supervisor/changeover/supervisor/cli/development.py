"""What `--reload` changes: settings for who edits files and looks at the answers."""

from changeover.supervisor.config.sources import Override

FLAG = "--reload"
DRAIN = 1.0
"""Seconds that a request may hold a process that is to leave."""
UNSIGNED = "plugins are taken unsigned while you edit them: a server without --reload refuses what no key has signed"

DEVELOPMENT: tuple[Override, ...] = (
    Override(("workers",), 1, FLAG),
    Override(("plugins", "reload"), "on-change", FLAG),
    Override(("plugins", "keys"), [], FLAG, instead=UNSIGNED),
    Override(("app", "reload"), "on-change", FLAG, beside=("app", "target")),
    *(Override(("drain", kind), DRAIN, FLAG) for kind in ("http", "stream", "websocket", "task")),
)
"""Over the file and the environment, below every other flag."""
