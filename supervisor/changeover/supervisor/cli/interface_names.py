"""What `-k` may be given: the interfaces, and what other servers call those that mean the same."""

import click

from changeover.supervisor.config.sources import Override
from changeover.workers.protocol.document import Text

FLAG = "--interface"
SYNC = "sync"
"""One request at a time in each worker, as this worker class of gunicorn has it unless it is given threads."""

NAMES = {
    "auto": "auto",
    "asgi": "asgi",
    "asgi2": "asgi",
    "asgi3": "asgi",
    "wsgi": "wsgi",
    SYNC: "wsgi",
    "gthread": "wsgi",
    "uvicorn.workers.UvicornWorker": "asgi",
    "uvicorn.workers.UvicornH11Worker": "asgi",
    "uvicorn_worker.UvicornWorker": "asgi",
    "uvicorn_worker.UvicornH11Worker": "asgi",
}
"""What is typed -> the interface that it means."""

ELSEWHERE = {
    "eventlet": "requests run in threads here, and nothing is patched: leave it out, and set --threads",
    "gevent": "requests run in threads here, and nothing is patched: leave it out, and set --threads",
    "gevent_pywsgi": "requests run in threads here, and nothing is patched: leave it out, and set --threads",
    "gevent_wsgi": "requests run in threads here, and nothing is patched: leave it out, and set --threads",
    "tornado": "Tornado applications are not served; serve an ASGI or WSGI application",
    "asginl": "an application's lifespan is run when it has one: use asgi",
    "rsgi": "RSGI is not served; most frameworks offer ASGI as well: use asgi",
}
"""What other servers offer beside -> what to do instead."""


def checked(context: click.Context, parameter: click.Parameter, name: str | None) -> str | None:
    """Take a name that means something here, and say of others what to do.

    Raises:
        BadParameter: It means nothing here.
    """
    if name is None or name in NAMES:
        return name
    hint = ELSEWHERE.get(name.removeprefix("egg:gunicorn#"), "it is auto, asgi or wsgi")
    raise click.BadParameter(f"{name} is no interface here: {hint}", context, parameter)


def meant(name: str, threads: int | None) -> list[Override]:
    """The settings that a name stands for.

    Args:
        name: What was typed.
        threads: What `--threads` says.
    """
    overrides = [Override(("app", "interface"), Text(NAMES[name]), FLAG)]
    if name == SYNC and threads is None:
        overrides.append(Override(("app", "threads"), 1, f"{FLAG} {SYNC}"))
    return overrides
