"""What a request is answered that no route takes."""

from changeover.workers.serving.contract import Response
from changeover.workers.serving.router import MatchOutcome, Mismatch

_PROBLEMS = {
    outcome: (status, title)
    for outcome, status, title in (
        (MatchOutcome.NOT_FOUND, 404, "Not found"),
        (MatchOutcome.METHOD_NOT_ALLOWED, 405, "Method not allowed"),
        (MatchOutcome.HOST_UNKNOWN, 421, "Misdirected request"),
        (MatchOutcome.EMPTY, 503, "Nothing serves yet"),
    )
}


def response(mismatch: Mismatch) -> Response:
    """Word why no route was found."""
    status, title = _PROBLEMS[mismatch.outcome]
    worded = Response.problem(status, title, mismatch.outcome.value)
    if mismatch.outcome is MatchOutcome.METHOD_NOT_ALLOWED:
        worded.headers["allow"] = ", ".join(mismatch.allow)
    return worded
