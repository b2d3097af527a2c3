"""What a client hears of an error, and what the log says: the one place that words either, for raw protocols."""

import logging

from changeover.workers.message.codec import Goodbye, MalformedMessage
from changeover.workers.message.contract import MessageCall
from changeover.workers.serving.contract import NotReady

log = logging.getLogger("changeover.message")


def goodbye_to(error: BaseException, call: MessageCall) -> Goodbye:
    """How a connection ends whose message ended in `error`; what is not the client's to know is logged and not told."""
    if isinstance(error, MalformedMessage):
        return Goodbye.MALFORMED
    if isinstance(error, NotReady):
        return Goodbye.UNSERVED
    gone = call.channel.client_shut
    _report(error, "a message to %s failed on epoch %s%s", call.route, call.epoch, connected=not gone)
    return Goodbye.FAILED


def report_between(error: BaseException, initializer: str, epoch: int, *, connected: bool) -> None:
    """Log, with its traceback, what belongs to no message: what was sent or read together, or state that moves."""
    _report(error, "%s failed between two messages on epoch %s%s", initializer, epoch, connected=connected)


def _report(error: BaseException, words: str, initializer: str, epoch: int, *, connected: bool) -> None:
    log.log(
        logging.ERROR if connected else logging.INFO,
        words,
        initializer,
        epoch,
        "" if connected else ", after the client had left",
        exc_info=error,
        extra={"epoch": epoch, "route": initializer},
    )
