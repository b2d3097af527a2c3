"""Names under which people know server hooks from gunicorn: taken where the hook is the same, else explained. Pure."""

from collections.abc import Mapping
from typing import Any

from changeover.workers.protocol.document import Mistake, below

SAME = {"on_starting": "before_boot", "post_fork": "after_fork", "post_worker_init": "worker_ready"}
"""gunicorn's name -> ours."""

OTHER = {
    "pre_fork": "nothing of yours runs before a fork, but the application is imported (`preload`); use `after_fork`",
    "when_ready": "a service manager is told when all serve; `worker_ready` is called in each worker",
    "on_reload": "use `cutover_committed`, which runs when what was reloaded serves",
    "worker_int": "use `worker_exit`",
    "worker_abort": "`changeover events` tells of a worker that is killed, with its stacks",
    "child_exit": "`changeover events` tells of every end; `worker_exit` is called in a worker that leaves",
    "pre_exec": "`changeover upgrade` tries the new program in a child first; `before_boot` runs in it as at a start",
    "pre_request": "write an inbound handler",
    "post_request": "write an outbound handler",
    "nworkers_changed": "`changeover events` tells of it",
    "on_exit": "whoever runs the command sees its end: ExecStopPost= in a unit of systemd",
    "ssl_context": "how TLS is spoken is in the configuration: [tls]",
}
"""gunicorn's name -> what to do instead."""


def translate(table: dict[str, Any], mistakes: list[Mistake], warnings: list[Mistake]) -> dict[str, Any]:
    """Give hooks our names.

    Args:
        table: The merged configuration.
        mistakes: Receives names that mean nothing here.
        warnings: Receives names that were translated.
    """
    hooks = table.get("hooks")
    if not isinstance(hooks, Mapping):
        return table
    ours: dict[str, Any] = {}
    for name, value in hooks.items():
        path = below("$.hooks", str(name))
        if name in OTHER:
            mistakes.append(Mistake(path, f"gunicorn's hook is not there: {OTHER[name]}"))
        elif name in SAME and SAME[name] in hooks:
            mistakes.append(Mistake(path, f"is called `{SAME[name]}` here, which stands beside it"))
        elif name in SAME:
            ours[SAME[name]] = value
            warnings.append(Mistake(path, f"is called `{SAME[name]}` here and gets one argument, a table of facts"))
        else:
            ours[name] = value
    return table | {"hooks": ours}
