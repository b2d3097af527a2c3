"""Everything that plugins import. What is here stays; newer versions add to it."""

from changeover.workers.message.assembly import InitializerDescriptor, PipelineInitializer, Served, initializer
from changeover.workers.message.chain import Chain
from changeover.workers.message.channel import Channel, Pressure
from changeover.workers.message.codec import Codec, Goodbye, MalformedMessage
from changeover.workers.message.contract import MessageCall, MessageService
from changeover.workers.message.framing import FrameCodec, LineCodec
from changeover.workers.plugins.api import (
    AsgiService,
    ConfigUnusable,
    LoadContext,
    Plugin,
    PluginVersion,
    Resource,
    ResourceUnusable,
    asgi,
)
from changeover.workers.plugins.manifest import HandlerPhase
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
from changeover.workers.serving.handlers import NotAHandler, around, inbound, outbound, service
from changeover.workers.serving.handshake import HandshakeOutcome, Proxied

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
    "MessageService",
    "NotAHandler",
    "NotReady",
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
    "around",
    "asgi",
    "inbound",
    "initializer",
    "outbound",
    "service",
]
