"""Plugins whose manifests are broken, or promise what is not there."""

from collections.abc import Callable, Iterator
from random import Random
from string import ascii_lowercase

from tests.hostile_plugins.fuzzing import mutants
from tests.hostile_plugins.offer import HOSTILE, VICTIM, Offer

MADE = f'id = "{HOSTILE}"\nversion = "1.0"\n'
SOUND = b"from changeover.plugin import Plugin\n\nclass Own(Plugin): pass\n"


def _word(random: Random) -> str:
    return "".join(random.choices(ascii_lowercase, k=random.randint(4, 12)))


READ: dict[str, Callable[[Random], str]] = {
    "a bad id": lambda random: f'id = "{random.choice(("app", "keys", "", "../x", "A", "a b"))}"\nversion = "1"\n',
    "a bad version": lambda random: f'id = "{HOSTILE}"\nversion = "{random.choice(("new", "", "1..2", "v v"))}"\n',
    "a bad range": lambda random: f'{MADE}api = "{random.choice(("=>1", "one", ">=1,,<x", "~1"))}"\n',
    "another API": lambda random: f'{MADE}api = ">={random.randint(2, 99)}"\n',
    "a bad entry": lambda random: f'{MADE}plugin = "{random.choice(("own", ":Own", "a-b:C", "a:", "a b:c"))}"\n',
    "an unknown direction": lambda random: f'{MADE}handlers = {{ x = "{_word(random)}" }}\n',
    "a bad mount": lambda random: (
        f'{MADE}services = {{ x = {{ mount = "{random.choice(("/a/", "a", "/a?b", "//"))}" }} }}\n'
    ),
    "a resource elsewhere": lambda random: f'{MADE}resources = {{ x = {{ path = "../{_word(random)}" }} }}\n',
    "a resource that is not there": lambda random: f'{MADE}resources = {{ x = {{ path = "{_word(random)}.toml" }} }}\n',
    "a glob without end": lambda random: (
        f'{MADE}resources = {{ x = {{ path = "{"**/" * random.randint(3, 99)}x" }} }}\n'
    ),
    "an unknown capability": lambda random: f'{MADE}capabilities = ["{_word(random)}x"]\n',
    "a capability that is not granted": lambda random: f'{MADE}capabilities = ["{random.choice(("net", "exec"))}"]\n',
    "a requirement that is not there": lambda random: f'{MADE}requires = {{ {_word(random)} = ">=1" }}\n',
    "a requirement of another version": lambda random: f'{MADE}requires = {{ {VICTIM} = ">{random.randint(2, 9)}" }}\n',
    "itself as a requirement": lambda random: f'{MADE}requires = {{ {HOSTILE} = ">=0" }}\n',
    "a distribution that is not there": lambda random: f'{MADE}dependencies = ["q{_word(random)}-{_word(random)}"]\n',
    "no requirement": lambda random: f'{MADE}dependencies = ["{_word(random)} {_word(random)}"]\n',
    "the id of another": lambda random: f'id = "{VICTIM}"\nversion = "{random.randint(2, 9)}"\n',
    "a key of endless parts": lambda random: f"{MADE}{'.'.join(random.choices(ascii_lowercase, k=50_000))} = 1\n",
}
"""What nobody has to run to refuse it."""
PROMISED: dict[str, Callable[[Random], str]] = {
    "a class that is not there": lambda random: f'{MADE}plugin = "{HOSTILE}:{_word(random)}"\n',
    "a module that is not there": lambda random: f'{MADE}plugin = "q{_word(random)}:Own"\n',
    "a class that is none": lambda random: f'{MADE}plugin = "{HOSTILE}:__doc__"\n',
    "a service that is not there": lambda random: (
        f'{MADE}services = {{ {_word(random)} = {{ mount = "/{_word(random)}" }} }}\n'
    ),
    "a handler that is not there": lambda random: f'{MADE}handlers = {{ {_word(random)} = "inbound" }}\n',
    "a self-test that is not there": lambda random: f'{MADE}self_test = "{HOSTILE}:{_word(random)}"\n',
    "a configuration that is not there": lambda random: (
        f'{MADE}config = "{HOSTILE}:{_word(random)}"\nplugin = "{HOSTILE}:Own"\n'
    ),
}
"""What code has to be loaded for to find out that it lies."""


def manifests(seed: int) -> Iterator[Offer]:
    """Broken manifests without end: first one of each kind that is written here, then sound ones that were mutated."""
    random = Random(seed)
    for kind, made in (READ | PROMISED).items():
        yield _offer(kind, made(random).encode(), runs=kind in PROMISED)
    for kind, manifest in mutants(random):
        yield _offer(kind, manifest)


def _offer(kind: str, manifest: bytes, *, runs: bool = False) -> Offer:
    files = {"plugin.toml": manifest, f"{HOSTILE}.py": SOUND}
    return Offer(f"a manifest with {kind}", "on disk", HOSTILE, files, runs)
