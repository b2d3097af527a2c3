"""Everything that plugins import. What is here stays; newer versions add to it."""

from changeover.workers.message.assembly import InitializerDescriptor, PipelineInitializer, Served, initializer
from changeover.workers.message.chain import Chain
from changeover.workers.message.channel import Channel, Pressure
from changeover.workers.message.codec import Codec, Goodbye, MalformedMessage
from changeover.workers.message.contract import MessageCall, MessageService
from changeover.workers.message.framing import FrameCodec, LineCodec
from changeover.workers.plugins.api import AsgiService, ConfigUnusable, Plugin, WsgiService, asgi, wsgi
from changeover.workers.plugins.facades.pickling import restored  # noqa: F401 - pickles name it
from changeover.workers.plugins.manifest import HandlerPhase
from changeover.workers.plugins.resources import LoadContext, PluginVersion, Resource, ResourceUnusable
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
from changeover.workers.serving.handshake import HandshakeOutcome, Proxied
from changeover.workers.serving.observation import Observer, PipelineEvent, PipelineEventKind
from changeover.workers.serving.session import WebSocketClosed
from changeover.workers.serving.websocket import MessageHandler, WebSocket, WebSocketMisused

__all__ = [
    "AsgiService",
    "BodyInvalid",
    "BodyTooLarge",
    "CallContext",
    "CallNext",
    "Chain",
    "Channel",
    "Codec",
    "ConfigUnusable",
    "Disconnected",
    "Extension",
    "FrameCodec",
    "Goodbye",
    "HandlerPhase",
    "HandshakeOutcome",
    "Headers",
    "InitializerDescriptor",
    "LineCodec",
    "LoadContext",
    "MalformedMessage",
    "MessageCall",
    "MessageHandler",
    "MessageService",
    "NotAHandler",
    "NotReady",
    "Observer",
    "PipelineEvent",
    "PipelineEventKind",
    "PipelineInitializer",
    "Plugin",
    "PluginVersion",
    "Pressure",
    "Proxied",
    "Request",
    "Resource",
    "ResourceUnusable",
    "Response",
    "Served",
    "Service",
    "WebSocket",
    "WebSocketClosed",
    "WebSocketMisused",
    "WsgiService",
    "around",
    "asgi",
    "inbound",
    "initializer",
    "outbound",
    "service",
    "websocket",
    "wsgi",
]
