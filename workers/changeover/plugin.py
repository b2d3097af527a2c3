"""Everything that plugins import. What is here stays; newer versions add to it."""

from changeover.workers.generation.alone import PluginNotLoaded, extension_point
from changeover.workers.generation.whereabouts import PluginsUnknown
from changeover.workers.message.assembly import PipelineInitializer, Served, initializer
from changeover.workers.message.chain import Chain
from changeover.workers.message.channel import Channel, Pressure
from changeover.workers.message.codec import Codec, Goodbye, MalformedMessage
from changeover.workers.message.contract import MessageCall, MessageService
from changeover.workers.message.framing import FrameCodec, LineCodec
from changeover.workers.plugins.api import AsgiService, ConfigUnusable, Plugin, WsgiService, asgi, wsgi
from changeover.workers.plugins.facades.pickling import restored  # noqa: F401 - pickles name it
from changeover.workers.plugins.fenced import (
    DrainError,
    DrainTimeout,
    EpochFencedReload,
    Hold,
    NotActive,
    PluginLifecycle,
    UnexpectedTransition,
)
from changeover.workers.plugins.lifecycle import State as LifecycleState
from changeover.workers.plugins.manifest import HandlerPhase
from changeover.workers.plugins.resources import LoadContext, PluginVersion, Resource, ResourceUnusable
from changeover.workers.protocol.assembly import InitializerDescriptor
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
from changeover.workers.serving.extension_points import ExtensionPoint, ExtensionPointEarly, ExtensionPointLate
from changeover.workers.serving.extensions import Extension
from changeover.workers.serving.handlers import NotAHandler, around, inbound, outbound, preflight, service, websocket
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
    "DrainError",
    "DrainTimeout",
    "EpochFencedReload",
    "Extension",
    "ExtensionPoint",
    "ExtensionPointEarly",
    "ExtensionPointLate",
    "FrameCodec",
    "Goodbye",
    "HandlerPhase",
    "HandshakeOutcome",
    "Headers",
    "Hold",
    "InitializerDescriptor",
    "LifecycleState",
    "LineCodec",
    "LoadContext",
    "MalformedMessage",
    "MessageCall",
    "MessageHandler",
    "MessageService",
    "NotAHandler",
    "NotActive",
    "NotReady",
    "Observer",
    "PipelineEvent",
    "PipelineEventKind",
    "PipelineInitializer",
    "Plugin",
    "PluginLifecycle",
    "PluginNotLoaded",
    "PluginVersion",
    "PluginsUnknown",
    "Pressure",
    "Proxied",
    "Request",
    "Resource",
    "ResourceUnusable",
    "Response",
    "Served",
    "Service",
    "UnexpectedTransition",
    "WebSocket",
    "WebSocketClosed",
    "WebSocketMisused",
    "WsgiService",
    "around",
    "asgi",
    "extension_point",
    "inbound",
    "initializer",
    "outbound",
    "preflight",
    "service",
    "websocket",
    "wsgi",
]
