"""What a manifest names is found in the plugin's modules, in every form that is allowed."""

from collections.abc import Callable

import pytest

from changeover.workers.plugins.link import Linker
from changeover.workers.plugins.manifest_reading import read_toml
from changeover.workers.plugins.modules import PluginModules
from changeover.workers.plugins.refused import ConfigRejected, ContractBroken
from changeover.workers.serving.application import ApplicationNotLoaded
from changeover.workers.serving.asgi import Application
from changeover.workers.serving.contract import Service
from changeover.workers.serving.handlers import HandlerKind
from changeover.workers.serving.handshake import HandshakeOutcome
from changeover.workers.serving.websocket import MessageService, WebSocketService
from changeover.workers.serving.wsgi import WsgiApplication

Load = Callable[[dict[str, str]], PluginModules]

CODE = """
import msgspec
from changeover.plugin import *

class Config(msgspec.Struct, forbid_unknown_fields=True):
    currency: str = "EUR"

class Own(Plugin[Config]):
    def first(self, request, call): ...
    @service
    def quote(self, request, call): ...

class Alone(Service):
    async def __call__(self, request, call): ...

class Made(Alone):
    def __init__(self, plugin):
        self.plugin = plugin

class Silent(Service):
    def ready(self): ...

class Deaf(MessageHandler):
    pass

class Live(MessageHandler):
    async def on_message(self, message): ...

class OwnLive(Live):
    def __init__(self, plugin):
        self.plugin = plugin

@websocket
async def chat(socket, call): ...

instance = Alone()

def plain(request, call): ...

async def app(scope, receive, send): ...

by_name = asgi("pricing:app", root_path="/behind")
nowhere = asgi("pricing")

def old_app(environ, start_response): ...

in_threads = wsgi("pricing:old_app", root_path="/behind", threads=2)
itself = wsgi(old_app)
confused = wsgi(app)
number = 3
"""


def linker(load: Load, manifest: str, code: str = CODE) -> Linker:
    text = f'id = "pricing"\nversion = "1.0"\n{manifest}'
    found = Linker(read_toml(text, "plugin.toml"), load({"pricing.py": code}))
    found.load()
    return found


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        ('entry = "pricing:Alone"', Service),
        ('entry = "pricing:Made"', Service),
        ('entry = "pricing:instance"', Service),
        ('entry = "pricing:by_name"', Application),
        ('entry = "pricing:app", interface = "asgi"', Application),
        ('entry = "pricing:in_threads"', WsgiApplication),
        ('entry = "pricing:itself"', WsgiApplication),
        ('entry = "pricing:old_app", interface = "wsgi"', WsgiApplication),
    ],
)
def test_services_are_classes_instances_and_applications(load: Load, entry: str, kind: type) -> None:
    found = linker(load, f'plugin = "pricing:Own"\nconfig = "pricing:Config"\nservices = {{ s = {{ {entry} }} }}')
    instance = found.plugin(found.config(b"\x80"))
    made = found.service("s", instance)
    assert isinstance(made, kind)
    assert getattr(made, "plugin", instance) is instance
    assert getattr(made, "root_path", "/behind") in ("", "/behind")


def test_a_wsgi_service_has_the_threads_that_it_asks_for(load: Load) -> None:
    made = linker(load, 'services = { in_threads = "/t" }').service("in_threads", None)
    assert isinstance(made, WsgiApplication)
    assert (made.name, made.pool.size) == ("pricing:in_threads", 2)


def test_functions_and_methods_are_found_under_their_own_name(load: Load) -> None:
    found = linker(load, 'plugin = "pricing:Own"\nservices = { quote = "/q" }\nhandlers = { first = "inbound" }')
    instance = found.plugin(None)
    assert found.handlers(instance)["first"].kind is HandlerKind.INBOUND
    assert found.service("quote", instance).__self__ is instance  # type: ignore[union-attr]
    assert callable(linker(load, 'services = { plain = "/p" }').service("plain", None))


@pytest.mark.parametrize(
    ("entry", "error", "told"),
    [
        ('entry = "pricing:number"', ContractBroken, "service 's': .*it is a int, not a function"),
        ('entry = "pricing:missing"', ContractBroken, "service 's': pricing has no 'missing'"),
        ('entry = "pricing:nowhere"', ContractBroken, "write it like `package.module:app`"),
        (
            'entry = "pricing:Deaf"',
            ContractBroken,
            r"service 's': Deaf is a MessageHandler that takes no .*; write `async def on_message\(self, message\)`",
        ),
        (
            'entry = "pricing:Silent"',
            ContractBroken,
            r"service 's': Silent is a Service that does not .*; write `async def __call__\(self, request, call\)`",
        ),
        ('entry = "pricing:number", interface = "asgi"', ApplicationNotLoaded, "service 's'"),
        ('entry = "pricing:old_app", interface = "asgi"', ApplicationNotLoaded, "looks like WSGI"),
        (
            'entry = "pricing:confused"',
            ApplicationNotLoaded,
            "to be served as WSGI, and looks like ASGI",
        ),
    ],
)
def test_what_is_no_service_is_refused_by_name(load: Load, entry: str, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        linker(load, f"services = {{ s = {{ {entry} }} }}").service("s", None)


def test_a_module_that_is_nowhere_is_told_with_what_names_it(load: Load) -> None:
    told = "service 's': there is no module 'prices.core' in the plugin, and none is installed; name another"
    with pytest.raises(ContractBroken, match=told):
        linker(load, 'services = { s = { entry = "prices.core:quote" } }')
    with pytest.raises(ModuleNotFoundError, match="No module named 'nothing_like_it'"):
        linker(load, 'services = { s = { entry = "pricing:quote" } }', "import nothing_like_it")


def test_what_speaks_over_websockets_is_a_service(load: Load) -> None:
    manifest = """plugin = "pricing:Own"
    [services]
    chat = { entry = "pricing:chat" }
    live = { entry = "pricing:Live" }
    own = { entry = "pricing:OwnLive" }"""
    found = linker(load, manifest)
    instance = found.plugin(None)
    chat = found.service("chat", instance)
    assert isinstance(chat, WebSocketService)
    assert (chat.name, chat.function.__name__) == ("pricing:chat", "chat")
    live, own = found.service("live", instance), found.service("own", instance)
    assert isinstance(live, MessageService)
    assert isinstance(own, MessageService)
    first, second = own.make(), own.make()
    assert first is not second
    assert first.plugin is instance  # type: ignore[attr-defined]
    assert type(live.make()).__name__ == "Live"


def test_a_service_that_the_manifest_lacks_is_answered_with_those_it_has(load: Load) -> None:
    with pytest.raises(ContractBroken, match="which offers: plain"):
        linker(load, 'services = { plain = "/p" }').service("quote", None)


def test_configuration_without_a_struct_and_with_a_mistake_is_rejected(load: Load) -> None:
    with pytest.raises(ConfigRejected, match="surplus given, and the manifest names no `config`"):
        linker(load, "").config(b"\x81\xa7surplus\x01")
    with pytest.raises(ConfigRejected, match=r"`config` of \[plugins\.pricing\], does not fit: .* `surplus`"):
        linker(load, 'config = "pricing:Config"').config(b"\x81\xa7surplus\x01")
    with pytest.raises(ContractBroken, match="is no class"):
        linker(load, 'config = "pricing:number"').config(b"\x80")


def test_a_name_that_is_nearly_there_is_suggested(load: Load) -> None:
    with pytest.raises(ContractBroken, match=r"^plugin = 'pricing:Ownn': pricing has no 'Ownn'; did you mean `Own`\?$"):
        linker(load, 'plugin = "pricing:Ownn"').plugin(None)
    with pytest.raises(ContractBroken, match=r"^config = 'pricing:Confg': .* did you mean `Config`\?$"):
        linker(load, 'config = "pricing:Confg"').config(b"\x80")
    found = linker(load, 'plugin = "pricing:Own"\nservices = { qoute = "/q" }')
    with pytest.raises(ContractBroken, match=r"^service 'qoute': Own has no 'qoute'; did you mean `quote`\?$"):
        found.service("qoute", found.plugin(None))
    with pytest.raises(ConfigRejected, match=r"unknown field `curency`; did you mean `currency`\?$"):
        linker(load, 'config = "pricing:Config"').config(b"\x81\xa7curency\x01")


OFFERING = """
from changeover.plugin import Plugin

class Own(Plugin[None]):
    def pricing(self): return "own"
    def tax(self): return "tax"

class Other:
    def __init__(self, plugin):
        self.plugin = plugin

class Free:
    pass

def plain(): return "plain"
"""


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("", "own"),
        ("pricing:Own.tax", "tax"),
        ("pricing:plain", "plain"),
    ],
)
def test_an_extension_is_a_method_of_the_instance_or_a_function(load: Load, written: str, told: str) -> None:
    found = linker(load, f'plugin = "pricing:Own"\nextensions = {{ "shop.pricing" = "{written}" }}', OFFERING)
    offered = found.extensions(found.plugin(None))["shop.pricing"]
    assert callable(offered)
    assert offered() == told


def test_an_extension_is_the_instance_or_something_made_with_it(load: Load) -> None:
    points = '"a" = "pricing:Own", "b" = "pricing:Other", "c" = "pricing:Free"'
    found = linker(load, f'plugin = "pricing:Own"\nextensions = {{ {points} }}', OFFERING)
    instance = found.plugin(None)
    offered = found.extensions(instance)
    assert offered["a"] is instance
    assert offered["b"].plugin is instance  # type: ignore[attr-defined]
    assert type(offered["c"]).__name__ == "Free"


def test_without_a_class_an_extension_is_found_in_the_module(load: Load) -> None:
    assert linker(load, 'extensions = ["shop.plain"]', OFFERING).extensions(None)["shop.plain"]() == "plain"  # type: ignore[operator]


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("", r"extension 'shop.gone': Own has no 'gone'; name it with `entry`"),
        ("pricing:Own.none", r"extension 'shop.gone': Own has no 'none'"),
        ("pricing:none", r"extension 'shop.gone': pricing has no 'none'"),
    ],
)
def test_an_extension_that_is_not_there_is_told(load: Load, written: str, told: str) -> None:
    found = linker(load, f'plugin = "pricing:Own"\nextensions = {{ "shop.gone" = "{written}" }}', OFFERING)
    with pytest.raises(ContractBroken, match=told):
        found.extensions(found.plugin(None))


SELECTING = """
from changeover.plugin import Plugin

class Own(Plugin[None]):
    def is_old(self, outcome): return outcome.alpn == ""

class ByPlugin:
    def __init__(self, plugin):
        self.plugin = plugin
    def __call__(self, outcome): return True

async def slow(outcome): return True
def idle(): return True
number = 3
"""


def test_a_selector_is_a_method_or_something_made_with_the_instance(load: Load) -> None:
    found = linker(load, 'plugin = "pricing:Own"\nselectors = { is-old = {}, made = "pricing:ByPlugin" }', SELECTING)
    instance = found.plugin(None)
    assert found.selector("is-old", instance)(HandshakeOutcome()) is True
    assert found.selector("is-old", instance)(HandshakeOutcome(alpn="h2")) is False
    assert found.selector("made", instance).plugin is instance  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("selectors", "told"),
    [
        (
            "{ slow = {} }",
            "selector 'slow' is no function of one HandshakeOutcome .*; write `def slow.outcome. -> bool`",
        ),
        ("{ slow = 'pricing:idle' }", "selector 'slow' is no function .*: too many positional arguments"),
        ("{ slow = 'pricing:number' }", "selector 'slow' is no function"),
        ("{ slow = 'pricing:gone' }", "selector 'slow': pricing has no 'gone'"),
        ("{ other = 'pricing:idle' }", "selector 'slow' is not in the manifest, which offers: other"),
    ],
)
def test_a_selector_that_cannot_say_at_once_is_told(load: Load, selectors: str, told: str) -> None:
    found = linker(load, f"selectors = {selectors}", SELECTING)
    with pytest.raises(ContractBroken, match=told):
        found.selector("slow", None)
