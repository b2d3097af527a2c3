"""Hooks that could not be called, or would never run, are refused when a plugin is linked, and not when one is due."""

from collections.abc import Callable

import pytest

from changeover.workers.plugins.hook_contract import check_hooks
from changeover.workers.plugins.link import Linker
from changeover.workers.plugins.manifest_reading import read_toml
from changeover.workers.plugins.modules import PluginModules
from changeover.workers.plugins.refused import HookUnfit, Origin, Site, refusal_of
from changeover.workers.protocol.refusal import Fault, Refusal, Stage

Load = Callable[[dict[str, str]], PluginModules]

MANIFEST = 'id = "pricing"\nversion = "1.0"\nplugin = "pricing:Own"\n'
OWN = "import functools\nfrom changeover.plugin import *\n\nclass Own(Plugin[None]):\n    {hook}\n"
DECORATED = """
import contextlib, functools
from changeover.plugin import *

def logged(hook):
    @functools.wraps(hook)
    def inner(self, *told): return hook(self)
    return inner

def alone(hook):
    @functools.wraps(hook)
    def inner(self): return hook(self, None)
    return inner

def to_its_end(hook):
    @functools.wraps(hook)
    def inner(*told): return list(hook(*told))
    return inner

class Own(Plugin[None]):
    {hook}
"""


def linked(load: Load, hook: str, text: str = OWN) -> Refusal | None:
    """Why a plugin with this hook, in its fifth line, is not linked."""
    modules = load({"pricing.py": text.format(hook=hook)})
    linker = Linker(read_toml(MANIFEST, "plugin.toml"), modules)
    try:
        linker.plugin(None)
    except HookUnfit as error:
        origin = Origin(modules.root, modules.package)
        return refusal_of(error, Site(Stage.LINK, "plugin pricing", origin=origin))
    return None


@pytest.mark.parametrize(
    ("hook", "told"),
    [
        ("def on_activate(self, ctx): ...", "on_activate does not take what it is given, nothing (missing a required"),
        ("def on_load(self): ...", "on_load does not take what it is given, ctx (too many positional arguments)"),
        ("async def on_reload(self, ctx): ...", "on_reload does not take what it is given, ctx, old (too many"),
        ("def merge_state(self): ...", "write `def merge_state(self, old, imported, latest)`"),
        ("def export_state(self, *, form): ...", "given, nothing (missing a required argument: 'form')"),
        ("def on_load(self, ctx): yield", "on_load has a `yield`: its code would never run"),
        ("async def on_unload(self): yield", "on_unload has a `yield`: its code would never run"),
        ("on_unload = None", "on_unload is a hook, and no function but NoneType"),
        ("on_activate = staticmethod(lambda own: None)", "on_activate does not take what it is given, nothing"),
    ],
)
def test_a_hook_that_could_not_run_is_refused_with_what_to_write(load: Load, hook: str, told: str) -> None:
    refusal = linked(load, hook)
    assert refusal is not None
    assert told in refusal.summary
    assert (refusal.stage, refusal.fault) == (Stage.LINK, Fault.CONTRACT)


@pytest.mark.parametrize("hook", ["def on_load(self): ...", "async def on_unload(self): yield"])
def test_it_says_where_the_hook_is(load: Load, hook: str) -> None:
    refusal = linked(load, hook)
    assert refusal is not None
    assert (refusal.where, refusal.source) == ("pricing.py:5", hook)


@pytest.mark.parametrize(
    "hook",
    [
        "def on_load(self, context): ...",
        "async def on_reload(self, ctx, old, *, more=1): ...",
        "def merge_state(self, *told): ...",
        "def import_state(*told): ...",
        "on_activate = functools.partialmethod(print, 1)",
        "on_deactivate = staticmethod(lambda: None)",
        "on_unload = classmethod(lambda cls: None)",
        "def helper(self): yield",
        "pass",
    ],
)
def test_a_hook_that_takes_what_it_is_given_is_taken_however_it_is_written(load: Load, hook: str) -> None:
    assert linked(load, hook) is None


@pytest.mark.parametrize(
    "hook", ["@logged\n    def on_load(self): ...", "@to_its_end\n    def on_load(self, ctx): yield"]
)
def test_a_decorator_is_asked_what_it_takes_and_not_what_it_decorates(load: Load, hook: str) -> None:
    assert linked(load, hook, DECORATED) is None


@pytest.mark.parametrize(
    ("hook", "told"),
    [
        ("@alone\n    def on_load(self, ctx): ...", "on_load does not take what it is given, ctx (too many"),
        ("@contextlib.contextmanager\n    def on_load(self, ctx): yield", "on_load has a `yield`: its code"),
        ("@contextlib.asynccontextmanager\n    async def on_unload(self): yield", "on_unload has a `yield`"),
    ],
)
def test_a_decorator_that_could_not_run_the_hook_is_refused(load: Load, hook: str, told: str) -> None:
    refusal = linked(load, hook, DECORATED)
    assert refusal is not None
    assert told in refusal.summary


def test_what_an_instance_has_instead_of_a_hook_of_its_class_is_looked_at_too(load: Load) -> None:
    modules = load({"pricing.py": OWN.format(hook="pass")})
    instance = modules.import_module("pricing").Own(None)
    check_hooks(instance)
    instance.on_activate = lambda ctx: None
    with pytest.raises(HookUnfit, match="on_activate does not take what it is given, nothing"):
        check_hooks(instance)
