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
    report(error, call.route, connected=not gone, epoch=call.epoch)
    return Goodbye.FAILED


def report(error: BaseException, initializer: str, *, connected: bool, epoch: int | None = None) -> None:
    """Log an error with its traceback, and where it happened."""
    log.log(
        logging.ERROR if connected else logging.INFO,
        "a message to %s failed%s%s" if epoch is not None else "%s failed between two messages%s%s",
        initializer,
        "" if epoch is None else f" on epoch {epoch}",
        "" if connected else ", after the client had left",
        exc_info=error,
        extra={"epoch": epoch, "route": initializer},
    )
