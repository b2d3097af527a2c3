"""What an error was raised for: the error behind it, as its author said or as Python noted. Pure."""

DEEPEST = 32
"""Errors behind each other that are looked at; who wraps more often, or in a circle, is not followed further."""

_KINDLESS = (Exception, BaseException, object)


def reason_of(error: BaseException) -> BaseException | None:
    """The error that this one was raised for; None where it stands for itself.

    `raise ... from error` is the author's word that `error` is the reason, and so is an error made of another one:
    `httpcore.ConnectError(error)`, which is raised `from None`. Otherwise `from None` says that nothing is the reason.
    Without either, Python notes what was being handled, which may be chance: a KeyError of an `except ConnectionError:`
    clause is a mistake in that clause, and no network mends it. So that note counts only for errors that no mistake
    raises: an OSError, which something outside of the code caused, and a library's own class that is of no built-in
    kind but Exception. That one is raised on purpose, and often without `from`: `redis.ConnectionError` is.
    """
    given = (each for each in error.args if isinstance(each, BaseException))
    said = error.__cause__ if error.__cause__ is not None else next(given, None)
    if said is not None or error.__suppress_context__ or not _is_raised_on_purpose(error):
        return said
    return error.__context__


def _is_raised_on_purpose(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return True
    kinds = type(error).__mro__
    built_in = [kind for kind in kinds if kind.__module__ == "builtins"]
    return isinstance(error, Exception) and kinds[0] not in built_in and all(kind in _KINDLESS for kind in built_in)


def is_every_address_refused(error: OSError) -> bool:
    """Whether no address of a name could be connected to, as asyncio and uvloop say it: in words, without a number."""
    words = error.args[0] if len(error.args) == 1 else None
    return isinstance(words, str) and words.startswith("Multiple exceptions: ")
