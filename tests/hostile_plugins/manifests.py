"""Plugins whose manifests are broken, or promise what is not there: each kind is wrong by how it is made."""

from collections.abc import Callable, Iterator
from random import Random
from string import ascii_lowercase

from tests.hostile_plugins.offer import HOSTILE, VICTIM, Offer

MADE = f'id = "{HOSTILE}"\nversion = "1.0"\n'
SOUND = b"from changeover.plugin import Plugin\n\nclass Own(Plugin): pass\n"
KEYS = ("api", "summary", "requires", "plugin", "config", "handlers", "services", "resources", "capabilities", "state")


def _word(random: Random) -> str:
    return "".join(random.choices(ascii_lowercase, k=random.randint(4, 12)))


def _wrong_type(random: Random) -> str:
    return random.choice(("1979-05-27", "-3.5", "true", "[[1], [2]]", "{ a = [1] }"))


READ: dict[str, Callable[[Random], str]] = {
    "no TOML": lambda random: MADE + random.choice(("=", "[", '"', "x = ", "[[x]", "x = {", "x = 'a", "\0", "x = 1 1")),
    "a key twice": lambda random: f'{MADE}{random.choice(("id", "version"))} = "{_word(random)}"\n',
    "an unknown key": lambda random: f"{MADE}q{_word(random)} = 1\n",
    "a value of another type": lambda random: f"{MADE}{random.choice(KEYS)} = {_wrong_type(random)}\n",
    "no id": lambda random: f'version = "{random.randint(1, 9)}"\n',
    "no version": lambda random: f'id = "{_word(random)}"\n',
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
    "tables without end": lambda random: f"{MADE}x = {'[' * random.randint(1000, 50_000)}\n",
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
    """Broken manifests without end, one of each kind after the other, with other words each time."""
    random, seen = Random(seed), set[bytes]()
    while True:
        for kind, made in (READ | PROMISED).items():
            manifest = made(random).encode()
            if manifest in seen:
                continue
            seen.add(manifest)
            files = {"plugin.toml": manifest, f"{HOSTILE}.py": SOUND}
            yield Offer(f"a manifest with {kind}", "on disk", HOSTILE, files, runs=kind in PROMISED)
        garbage = {"plugin.toml": b"\xff" + random.randbytes(200), f"{HOSTILE}.py": SOUND}
        yield Offer("a manifest with random bytes", "on disk", HOSTILE, garbage, runs=False)
