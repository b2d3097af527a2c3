"""`changeover dev`: `changeover run --reload`, for fingers in a hurry."""

from functools import partial

from changeover.supervisor.cli import run
from changeover.supervisor.cli.foreign import Hinting

HELP = """Serve while you edit: what you save is taken at once, or refused with a short traceback.

\b
  changeover dev app:app --plugins plugins

The same as `changeover run --reload`, and it takes the same flags: one worker unless -w says otherwise, plugins,
configuration and application watched, one second to drain, no signatures asked for.

Exit status: as of `changeover run`.
"""

_run = run.command

command = Hinting(
    "dev",
    params=[each for each in _run.params if each.name != "reload"],
    callback=partial(_run.callback, reload=True) if _run.callback else None,
    help=HELP,
)
