"""Imports go one way, counting those inside functions: the control plane knows the data plane, never the reverse."""

from graphlib import CycleError, TopologicalSorter

import pytest

from tests.architecture.sources import MODULES, Module

WORKERS = "changeover.workers"
SUPERVISOR = "changeover.supervisor"

MAY_IMPORT: dict[str, tuple[str, ...]] = {
    f"{WORKERS}.errors": (),
    f"{WORKERS}.protocol": (f"{WORKERS}.errors",),
    f"{WORKERS}.participant": (f"{WORKERS}.errors", f"{WORKERS}.protocol"),
    f"{WORKERS}.link": (f"{WORKERS}.errors", f"{WORKERS}.protocol"),
    f"{WORKERS}.serving": (f"{WORKERS}.errors", f"{WORKERS}.protocol"),
    f"{WORKERS}.pinned": (f"{WORKERS}.errors",),
    f"{WORKERS}.plugins": (f"{WORKERS}.errors", f"{WORKERS}.protocol", f"{WORKERS}.serving", f"{WORKERS}.pinned"),
    f"{WORKERS}.handlers": ("changeover.plugin",),
    f"{WORKERS}.handlers.settings": (f"{WORKERS}.protocol.document",),
    f"{WORKERS}.handlers.catalogue": (
        f"{WORKERS}.errors",
        f"{WORKERS}.protocol",
        f"{WORKERS}.plugins.manifest",
        f"{WORKERS}.handlers.settings",
    ),
    f"{WORKERS}.generation": (
        f"{WORKERS}.errors",
        f"{WORKERS}.protocol",
        f"{WORKERS}.serving",
        f"{WORKERS}.pinned",
        f"{WORKERS}.plugins",
        f"{WORKERS}.channel",
        f"{WORKERS}.message",
        f"{WORKERS}.handlers",
    ),
    f"{WORKERS}.message": (
        f"{WORKERS}.errors",
        f"{WORKERS}.protocol",
        f"{WORKERS}.serving",
        f"{WORKERS}.channel",
        f"{WORKERS}.plugins",
    ),
    f"{WORKERS}.channel": (f"{WORKERS}.errors", f"{WORKERS}.protocol", f"{WORKERS}.serving"),
    f"{WORKERS}.http2": (
        f"{WORKERS}.errors",
        f"{WORKERS}.protocol",
        f"{WORKERS}.serving",
        f"{WORKERS}.channel",
        f"{WORKERS}.http",
    ),
    f"{WORKERS}.http": (
        f"{WORKERS}.errors",
        f"{WORKERS}.protocol",
        f"{WORKERS}.serving",
        f"{WORKERS}.channel",
        f"{WORKERS}.websocket",
    ),
    f"{WORKERS}.websocket": (f"{WORKERS}.errors", f"{WORKERS}.protocol", f"{WORKERS}.serving", f"{WORKERS}.channel"),
    f"{WORKERS}.handover": (f"{WORKERS}.errors", f"{WORKERS}.protocol", f"{WORKERS}.link", f"{WORKERS}.channel"),
    f"{WORKERS}.runtime": (WORKERS,),
    f"{WORKERS}.preflight": (WORKERS,),
    f"{WORKERS}.zygote": (WORKERS,),
    "changeover.plugin": (WORKERS,),
    "changeover.testing": (WORKERS,),
    f"{SUPERVISOR}.errors": (f"{WORKERS}.errors",),
    f"{SUPERVISOR}.core": (f"{SUPERVISOR}.errors", f"{WORKERS}.errors", f"{WORKERS}.protocol"),
    SUPERVISOR: (
        SUPERVISOR,
        f"{WORKERS}.errors",
        f"{WORKERS}.protocol",
        f"{WORKERS}.link",
        f"{WORKERS}.generation.cell",
        f"{WORKERS}.channel.alpn",
        f"{WORKERS}.channel.limits",
        f"{WORKERS}.channel.tls",
        f"{WORKERS}.handlers.catalogue",
        f"{WORKERS}.pinned.announced",
        f"{WORKERS}.pinned.content",
        f"{WORKERS}.pinned.distributions",
        f"{WORKERS}.plugins.artifact",
        f"{WORKERS}.plugins.bytecode",
        f"{WORKERS}.plugins.capabilities",
        f"{WORKERS}.plugins.globs",
        f"{WORKERS}.plugins.manifest",
        f"{WORKERS}.plugins.manifest_mistakes",
        f"{WORKERS}.plugins.manifest_reading",
        f"{WORKERS}.plugins.natives",
        f"{WORKERS}.plugins.rigid",
        f"{WORKERS}.plugins.order",
        f"{WORKERS}.plugins.wheel",
        f"{WORKERS}.preflight.alone",
        f"{WORKERS}.runtime.counts",
        f"{WORKERS}.runtime.hook_command",
        f"{WORKERS}.runtime.landlock",
        f"{WORKERS}.runtime.settings",
    ),
    "changeover.__main__": (SUPERVISOR,),
    "changeover.server": (SUPERVISOR, f"{WORKERS}.errors", f"{WORKERS}.protocol"),
}
"""Package -> what it may import beside itself; the most specific package of a module decides."""

NO_IO = frozenset(
    {"asyncio", "logging", "multiprocess", "os", "random", "signal", "socket", "threading", "time", "zmq"}
)
HANDOVER_CORE = (
    "adoption",
    "effects",
    "events",
    "giving",
    "inbound",
    "messages",
    "outbound",
    "parting",
    "receiver",
    "sender",
    "spread",
)
PURE = (
    f"{SUPERVISOR}.core",
    f"{WORKERS}.participant",
    f"{WORKERS}.protocol",
    f"{WORKERS}.handlers.settings",
    f"{WORKERS}.handlers.catalogue",
    *(f"{WORKERS}.handover.{name}" for name in HANDOVER_CORE),
)
PUBLIC = ("changeover.plugin", "changeover.server", "changeover.testing")


def resolve(name: str) -> str:
    """The module that an imported name lives in."""
    while name not in MODULES and "." in name:
        name = name.rpartition(".")[0]
    return name


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def package_of(name: str) -> str | None:
    packages = [package for package in MAY_IMPORT if within(name, package)]
    return max(packages, key=len, default=None)


@pytest.mark.parametrize("module", MODULES.values(), ids=lambda module: module.name)
def test_a_module_imports_only_what_its_package_may(module: Module) -> None:
    package = package_of(module.name)
    if package is None:
        assert not [name for name in module.imports if within(name, "changeover")]
        return
    own = [resolve(name) for name in module.imports if within(name, "changeover")]
    allowed = (package, *MAY_IMPORT[package])
    assert [name for name in own if not any(within(name, each) for each in allowed)] == []


def test_no_module_imports_itself_through_others() -> None:
    graph = {
        module.name: {resolve(name) for name in module.imports if within(name, "changeover")} - {module.name}
        for module in MODULES.values()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as cycle:
        pytest.fail(" -> ".join(cycle.args[1]))


@pytest.mark.parametrize(
    "module", [m for m in MODULES.values() if any(within(m.name, p) for p in PURE)], ids=lambda m: m.name
)
def test_what_decides_does_no_io(module: Module) -> None:
    assert not {name.partition(".")[0] for name in module.imports} & NO_IO


def test_nothing_imports_the_public_pages_but_the_handlers_that_are_written_as_anybodys() -> None:
    users = [m.name for m in MODULES.values() if any(within(name, page) for name in m.imports for page in PUBLIC)]
    assert [name for name in users if not within(name, f"{WORKERS}.handlers")] == []


@pytest.mark.parametrize("module", MODULES.values(), ids=lambda module: module.name)
def test_a_module_has_one_subject(module: Module) -> None:
    forbidden = {"util", "utils", "common", "base", "helpers", "manager", "misc"}
    assert module.name.rpartition(".")[2] not in forbidden
    assert len(module.path.read_text().splitlines()) <= 400
