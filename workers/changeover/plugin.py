"""Everything that plugins import. What is here stays; newer versions add to it."""

from changeover.workers.plugins.api import (
    AsgiService,
    LoadContext,
    Plugin,
    PluginVersion,
    Resource,
    ResourceUnusable,
    asgi,
)
from changeover.workers.serving.contract import (
    BodyInvalid,
    BodyTooLarge,
    CallContext,
    CallNext,
    Headers,
    NotReady,
    Request,
    Response,
    Service,
)
from changeover.workers.serving.exchange import Disconnected
from changeover.workers.serving.handlers import NotAHandler, around, inbound, outbound, service, websocket
from changeover.workers.serving.session import WebSocketClosed
from changeover.workers.serving.websocket import MessageHandler, WebSocket, WebSocketMisused

__all__ = [
    "AsgiService",
    "BodyInvalid",
    "BodyTooLarge",
    "CallContext",
    "CallNext",
    "Disconnected",
    "Headers",
    "LoadContext",
    "MessageHandler",
    "NotAHandler",
    "NotReady",
    "Plugin",
    "PluginVersion",
    "Request",
    "Resource",
    "ResourceUnusable",
    "Response",
    "Service",
    "WebSocket",
    "WebSocketClosed",
    "WebSocketMisused",
    "around",
    "asgi",
    "inbound",
    "outbound",
    "service",
    "websocket",
]
