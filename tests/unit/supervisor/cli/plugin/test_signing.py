"""`changeover plugin sign`: what it signs, a server with the public key takes."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from changeover.supervisor.artifacts.folder import read_folder
from changeover.supervisor.artifacts.trust import INSTALL, untrusted
from changeover.supervisor.cli import main
from tests.plugin_folder import PluginFolder
from tests.unit.supervisor.artifacts.test_trust import forget_the_library


@pytest.fixture
def plugins(tmp_path: Path) -> PluginFolder:
    key = Ed25519PrivateKey.generate()
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "public.pem").write_bytes(public)
    return PluginFolder(tmp_path / "plugins")


def sign(path: Path, key: Path) -> Result:
    return CliRunner().invoke(main, ["plugin", "sign", str(path), "--key", str(key)])


def test_it_signs_and_signs_again_what_changed(plugins: PluginFolder, tmp_path: Path) -> None:
    for version in ("1.0", "1.1"):
        for path in (plugins.folder("geo", version), plugins.single("hello", version)):
            done = sign(path, tmp_path / "key.pem")
            assert done.exit_code == 0, done.output
            assert done.output.startswith(f"signed {path.stem} {version} with content ")
        listing = read_folder(plugins.path)
        assert list(untrusted(listing.plugins.values(), (str(tmp_path / "public.pem"),))) == []
    assert sorted(path.name for path in plugins.path.rglob("*.sig.json")) == ["hello.py.sig.json", "plugin.sig.json"]


def test_a_check_by_a_configuration_with_keys_wants_the_signature_and_loads_nothing_without(
    plugins: PluginFolder, tmp_path: Path
) -> None:
    config = tmp_path / "changeover.toml"
    config.write_text('[plugins]\ndir = "plugins"\nkeys = ["public.pem"]\n')
    path = plugins.folder("geo", more='plugin = "geo:missing"', geo="print('loaded')")
    ask = ["plugin", "check", str(path), "--config", str(config)]
    unsigned = CliRunner().invoke(main, ask)
    assert (unsigned.exit_code, "geo 1.0: is not signed, and plugins.keys asks for it" in unsigned.output) == (1, True)
    assert not [line for line in ("| loaded", "signed  by") if line in unsigned.output]
    plugins.folder("geo", more="", geo="x = 1")
    sign(path, tmp_path / "key.pem")
    signed = CliRunner().invoke(main, ask)
    assert (signed.exit_code, "  signed  by a key of plugins.keys" in signed.output.splitlines()) == (0, True)
    (path / "geo.py").write_text("x = 2")
    altered = CliRunner().invoke(main, ask)
    assert (altered.exit_code, "`changeover plugin sign` signs what is to be taken" in altered.output) == (1, True)


def test_what_is_no_plugin_or_no_key_is_said(plugins: PluginFolder, tmp_path: Path) -> None:
    path = plugins.folder("geo")
    other = sign(path, tmp_path / "public.pem")
    assert (other.exit_code, "public.pem: no private key in PEM" in other.output) == (1, True)
    none = sign(tmp_path / "public.pem", tmp_path / "key.pem")
    assert (none.exit_code, "no plugin" in none.output) == (1, True)
    (path / "plugin.toml").write_text("id = 1")
    broken = sign(path, tmp_path / "key.pem")
    assert (broken.exit_code, "plugin.toml: $.id" in broken.output) == (1, True)
    assert list(plugins.path.rglob("*.sig.json")) == []


def test_where_the_library_is_missing_it_says_what_to_install(
    plugins: PluginFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_the_library(monkeypatch)
    refused = sign(plugins.folder("geo"), tmp_path / "key.pem")
    assert (refused.exit_code, INSTALL in refused.output) == (1, True)
