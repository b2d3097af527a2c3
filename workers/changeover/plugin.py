"""Everything that plugins import. What is here stays; newer versions add to it."""

from changeover.workers.plugins.api import (
    AsgiService,
    LoadContext,
    Plugin,
    PluginVersion,
    Resource,
    ResourceUnusable,
    WsgiService,
    asgi,
    wsgi,
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
from changeover.workers.serving.extensions import Extension
from changeover.workers.serving.handlers import NotAHandler, around, inbound, outbound, service, websocket
from changeover.workers.serving.handshake import HandshakeOutcome
from changeover.workers.serving.observation import Observer, PipelineEvent, PipelineEventKind
from changeover.workers.serving.session import WebSocketClosed
from changeover.workers.serving.websocket import MessageHandler, WebSocket, WebSocketMisused

__all__ = [
    "AsgiService",
    "BodyInvalid",
    "BodyTooLarge",
    "CallContext",
    "CallNext",
    "Disconnected",
    "Extension",
    "HandshakeOutcome",
    "Headers",
    "LoadContext",
    "MessageHandler",
    "NotAHandler",
    "NotReady",
    "Observer",
    "PipelineEvent",
    "PipelineEventKind",
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
    "WsgiService",
    "around",
    "asgi",
    "inbound",
    "outbound",
    "service",
    "websocket",
    "wsgi",
]
