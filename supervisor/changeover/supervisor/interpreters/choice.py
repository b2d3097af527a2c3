"""Which interpreter a request wants: the configuration's, unless somebody asked for another since it was written."""

import os
from collections.abc import Iterator

from changeover.supervisor.core.outcome import CutoverRequest
from changeover.supervisor.interpreters.answer import InterpreterUnfit
from changeover.supervisor.interpreters.paths import executable
from changeover.workers.protocol.snapshot import Interpreter


def wanted(request: CutoverRequest, configured: str, serving: Interpreter | None) -> str:
    """The path of the interpreter to take.

    What the configuration names is taken. Another one that a reload asked for, or that a rollback went back to, holds
    until the configuration names a different one than it did then, or somebody insists.

    Args:
        request: What is wished for.
        configured: What the configuration names now.
        serving: What serves; None when nothing does.

    Raises:
        InterpreterUnfit: What is asked for is no absolute path, or not for whoever asks to name.
    """
    if request.python:
        return executable(_asked_for(request))
    if serving is None or request.force or serving.configured != configured:
        return configured
    return serving.python


def _asked_for(request: CutoverRequest) -> str:
    """The path that a request names: it is executed, so not everybody who may reload may name one."""
    path, uid = request.python, request.origin.uid
    if uid not in (0, os.geteuid()):
        whose = "may be named by root and by the server's own user alone, because it is executed"
        raise InterpreterUnfit(
            path, f"was asked for by uid {uid}, and {whose}; the configuration's `python` is for all others"
        )
    if not os.path.isabs(path):
        raise InterpreterUnfit(path, "is no absolute path, and whoever asked may be in another folder than the server")
    return path


def standing_interpreter(taken: Interpreter) -> Iterator[str]:
    """Say that what is taken is not what the configuration names, for people; nothing when it is."""
    if taken.python != taken.configured:
        holds = "was asked for or rolled back to, and holds until the configuration's `python` changes, or `--force`"
        yield f"not taken: python {taken.configured} ({taken.python} {holds})"


def still_holding(unfit: InterpreterUnfit, configured: str) -> InterpreterUnfit:
    """Say of what cannot be executed any more, and that the configuration does not name, how to get rid of it."""
    way = f"it was asked for or rolled back to; `changeover reload --force` takes {configured} instead"
    return InterpreterUnfit(unfit.python, f"{unfit.reason}; {way}", unfit.fault)
