"""From disk to a candidate whose artifacts are stored, or to every reason why there is none."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from changeover.supervisor.artifacts.collection import collect
from changeover.supervisor.artifacts.folder import read_plugin, signature_of
from changeover.supervisor.artifacts.scanner import Past, Scanner
from changeover.supervisor.artifacts.signing import Statement, signed
from changeover.supervisor.config.load import check
from changeover.supervisor.config.sources import Source
from changeover.supervisor.core.edits import RemovePlugin
from changeover.supervisor.core.entries import Held, Origin, Trigger
from changeover.supervisor.core.holding import after_rollback
from changeover.supervisor.core.outcome import (
    Action,
    Candidate,
    CutoverRequest,
    HeldBack,
    NothingChanged,
    RollNeeded,
    ScanRefused,
    ScanResult,
    Strategy,
)
from changeover.workers.pinned.distributions import Distributions
from changeover.workers.plugins import bytecode
from changeover.workers.plugins.artifact import folder_of, get
from changeover.workers.protocol.refusal import Fault, Stage
from changeover.workers.protocol.reload import ON_CHANGE
from changeover.workers.protocol.snapshot import ApplicationSpec, PluginSpec, Snapshot
from tests.plugin_folder import PluginFolder

HUP = CutoverRequest(Origin(Trigger.HUP, label="pricing 1.5"))
CONFIG = '[app]\ntarget = "shop:app"\n[plugins]\ndir = "plugins"\n'


class Place:
    """A service's folder, with what changes in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.held: frozenset[Held] = frozenset()
        self.store = root / "state" / "artifacts"
        self.plugins = PluginFolder(root / "plugins")
        self.plugins.folder("pricing", "1.4.0", '[services]\nquote = "/prices"\n', pricing="price = 1")
        self.plugins.single("hello")
        (root / "shop.py").write_text("app = None")
        self.configure(CONFIG)
        self.restart()

    def restart(self) -> None:
        """Have a supervisor that starts now."""
        source = Source(folder=self.root)
        self.scanner = Scanner(check(source).required(), lambda: check(source), self.store, [self.root / "state"])

    def configure(self, text: str) -> None:
        (self.root / "changeover.toml").write_text(text)

    def scan(self, current: Snapshot | None, request: CutoverRequest = HUP, *committed: Snapshot) -> ScanResult:
        epoch = current.epoch + 1 if current else 1
        return self.scanner.scan(request, epoch, current, Past(committed, committed, held=self.held))

    def roll_back(self, left: Snapshot, to: Snapshot) -> Snapshot:
        """Serve the content of `to` again, and hold what `left` had of its own."""
        found = self.candidate(left, asking(action=Action.ROLLBACK, to=to.epoch), to, left).snapshot
        self.held = after_rollback(self.held, left, found)
        return found

    def candidate(self, current: Snapshot | None, request: CutoverRequest = HUP, *committed: Snapshot) -> Candidate:
        result = self.scan(current, request, *committed)
        assert isinstance(result, Candidate), result
        assert list(result.snapshot.inconsistencies()) == []
        return result

    def refused(self, current: Snapshot | None, request: CutoverRequest = HUP) -> list[str]:
        result = self.scan(current, request)
        assert isinstance(result, ScanRefused), result
        assert all(each.slot == -1 and each.refusal.stage is Stage.SCAN for each in result.refusals)
        return [each.refusal.summary.replace(f"{self.root}/", "") for each in result.refusals]


def asking(**wishes: object) -> CutoverRequest:
    return CutoverRequest(Origin(Trigger.COMMAND), **wishes)  # type: ignore[arg-type]


SWAP = asking(strategy=Strategy.SWAP)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def serving(place: Place) -> Snapshot:
    return place.candidate(None).snapshot


def plugin(snapshot: Snapshot, name: str) -> PluginSpec:
    [unit] = [unit for unit in snapshot.units if isinstance(unit, PluginSpec) and unit.key.ref.name == name]
    return unit


def application(snapshot: Snapshot) -> ApplicationSpec:
    assert snapshot.application is not None
    return snapshot.application


def test_a_candidate_says_what_the_configuration_trusts_now_whatever_makes_it(place: Place, serving: Snapshot) -> None:
    place.configure(CONFIG + "[plugins.hello]\npreflight = false\n")
    place.plugins.folder("pricing", "1.5.0", '[services]\nquote = "/prices"\n', pricing="price = 2")
    found = place.candidate(serving)
    back = place.candidate(found.snapshot, asking(action=Action.ROLLBACK, to=1), serving, found.snapshot)
    edit = asking(action=Action.EDIT, edit=RemovePlugin("pricing"))
    edited = place.candidate(serving, edit)
    assert [each.exempt for each in (found, back, edited)] == [("hello",)] * 3
    place.configure("not TOML")
    assert place.candidate(serving, edit).exempt == ()


def test_the_first_scan_stores_everything_and_says_what_is_new(place: Place) -> None:
    found = place.candidate(None)
    assert found.summary == ("+ hello 1.0", "+ pricing 1.4.0", "+2 routes", "+ app shop:app")
    assert get(place.store, plugin(found.snapshot, "pricing").artifact)["pricing.py"] == b"price = 1"
    assert found.snapshot.label == "pricing 1.5"


def test_what_is_stored_is_compiled_for_the_workers_and_a_dry_run_compiles_nothing(place: Place) -> None:
    place.candidate(None, asking(dry_run=True))
    assert not place.store.exists()
    found = place.candidate(None).snapshot
    assert bytecode.read(place.store, plugin(found, "pricing").artifact).keys() == {"pricing.py"}


def test_where_keys_are_configured_unsigned_content_is_refused_before_it_is_stored(place: Place) -> None:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (place.root / "public.pem").write_bytes(public)
    place.configure(CONFIG.replace("[plugins]", '[plugins]\nkeys = ["public.pem"]'))
    refused = place.refused(None)
    assert [line.split(": is not")[0] for line in refused] == [
        "plugins/hello.py: hello 1.0",
        "plugins/pricing: pricing 1.4.0",
    ]
    assert not place.store.exists()
    for name in ("pricing", "hello.py"):
        found = read_plugin(place.plugins.path / name)
        assert found is not None
        statement = Statement(found.digest, found.manifest.id, found.manifest.version)
        signature_of(Path(found.path)).write_bytes(signed(statement, key))
    serving = place.candidate(None).snapshot
    place.plugins.single("hello", "1.1")
    assert place.refused(serving)
    assert place.candidate(serving, asking(only=("pricing",), force=True)).snapshot.keys() == serving.keys()


def test_a_scan_at_boot_says_what_has_no_effect(place: Place) -> None:
    (place.plugins.path / "README").write_text("x")
    found = place.candidate(None, CutoverRequest(Origin(Trigger.BOOT)))
    assert any(line.startswith("ignored: ") for line in found.summary)


def test_nothing_changed_is_no_candidate(place: Place, serving: Snapshot) -> None:
    assert place.scan(serving) == NothingChanged()


def test_force_makes_an_epoch_of_unchanged_content_with_the_same_instances(place: Place, serving: Snapshot) -> None:
    found = place.candidate(serving, asking(force=True))
    assert found.snapshot.keys() == serving.keys()
    assert found.snapshot.epoch == serving.epoch + 1


def test_a_changed_plugin_is_a_candidate_with_the_number_of_files(place: Place, serving: Snapshot) -> None:
    place.plugins.folder("pricing", "1.5.0", '[services]\nquote = "/prices"\n', pricing="price = 2", more_code="")
    found = place.candidate(serving)
    assert found.summary == ("pricing 1.4.0 -> 1.5.0 (3 files)", "app unchanged")
    assert plugin(found.snapshot, "hello").key == plugin(serving, "hello").key


def test_plugins_that_changed_at_once_are_one_candidate(place: Place, serving: Snapshot) -> None:
    place.plugins.folder("pricing", "1.5.0", '[services]\nquote = "/prices"\n', pricing="price = 2", more_code="")
    place.plugins.single("hello", "1.1")
    found = place.candidate(serving)
    assert found.snapshot.epoch == serving.epoch + 1
    assert found.summary == ("hello 1.0 -> 1.1 (1 file)", "pricing 1.4.0 -> 1.5.0 (3 files)", "app unchanged")


def test_where_only_resources_change_the_modules_that_serve_go_on(place: Place) -> None:
    def write(rules: str, code: str = "", version: str = "1.0", resource: str = "rules/**/*.toml") -> None:
        folder = place.plugins.folder(
            "geo", version, f'[resources]\nrules = {{ path = "{resource}" }}\n', geo=f"place = 1\n{code}"
        )
        (folder / "rules" / "eu").mkdir(parents=True, exist_ok=True)
        (folder / "rules" / "eu" / "a.toml").write_text(rules)

    def taken(current: Snapshot | None) -> Snapshot:
        made = place.candidate(current).snapshot
        spec = plugin(made, "geo")
        codes.append(spec.code and names[spec.code])
        names[spec.artifact] = f"of {len(codes)}"
        return made

    names: dict[str, str] = {}
    codes: list[str] = []
    write("a = 1")
    first = taken(None)
    write("a = 2")
    second = taken(first)
    assert isinstance(place.scan(second), NothingChanged)
    write("a = 3")
    third = taken(second)
    collect(place.store, [third])
    assert folder_of(place.store, plugin(first, "geo").artifact).is_dir()
    write("a = 4", code="# more")
    fourth = taken(third)
    write("a = 5", code="# more", version="1.1")
    fifth = taken(fourth)
    write("a = 6", code="# more", version="1.1")
    sixth = taken(fifth)
    write("a = 5", code="# more", version="1.1")
    taken(sixth)
    write("a = 7", code="# even more", version="1.1", resource="**/*")
    seventh = place.candidate(sixth).snapshot
    write("a = 7", code="# yet more", version="1.1", resource="**/*")
    assert codes == ["", "of 1", "of 1", "", "", "of 5", ""]
    assert plugin(place.candidate(seventh).snapshot, "geo").code == ""


def test_a_dry_run_stores_nothing(place: Place, serving: Snapshot) -> None:
    place.plugins.folder("pricing", "1.5.0")
    found = place.candidate(serving, asking(dry_run=True))
    assert not folder_of(place.store, plugin(found.snapshot, "pricing").artifact).exists()


def test_a_dry_run_says_how_many_files_of_the_application_differ(place: Place, serving: Snapshot) -> None:
    (place.root / "shop.py").write_text("app = 2")
    found = place.candidate(serving, asking(dry_run=True))
    assert found.summary == ("app shop:app (1 file)",)
    assert not folder_of(place.store, application(found.snapshot).artifact).exists()


def test_one_broken_plugin_refuses_the_whole_scan_with_everything_that_is_wrong(
    place: Place, serving: Snapshot
) -> None:
    place.plugins.folder("pricing", "?", 'requires = { catalog = "x" }')
    place.plugins.single("hello", "2.0", more='requires = { catalog = ">=1" }')
    place.configure(CONFIG + '[[pipelines]]\nhandlers = ["hello:stamp"]\nmatch = { path = "/x" }\n')
    assert place.refused(serving) == [
        "plugins/pricing/plugin.toml: $.version: '?' is no version; write it like 1.5.0",
        "plugins/pricing/plugin.toml: $.requires.catalog: 'x' is no range of versions; write it like `>=2.1,<3`",
        "plugins/hello.py: $.requires.catalog: hello 2.0 requires catalog >=1, which is not there",
        "changeover.toml: $.pipelines[0].handlers[0]: hello 2.0 has no handler stamp",
    ]


USES_PRICING = """
[[pipelines]]
handlers = ["pricing:stamp", "prizing:stamp"]
match = { path = "/x" }
service = "pricing:quote"
"""


def test_what_follows_from_a_broken_manifest_is_not_told_besides(place: Place, serving: Snapshot) -> None:
    place.plugins.folder("pricing", "?")
    place.plugins.single("hello", "2.0", more='requires = { pricing = ">=1" }')
    place.configure(CONFIG + USES_PRICING)
    expected = [
        "plugins/pricing/plugin.toml: $.version: '?' is no version; write it like 1.5.0",
        "changeover.toml: $.pipelines[0].handlers[1]: there is no plugin prizing",
    ]
    assert place.refused(None) == expected
    assert place.refused(serving) == expected


def test_a_broken_manifest_that_is_not_reached_hides_no_mistake(place: Place) -> None:
    (place.plugins.path / "pricing" / "plugin.toml").unlink()
    serving = place.candidate(None).snapshot
    place.plugins.folder("pricing", "?")
    place.plugins.single("hello", "2.0", more='requires = { pricing = ">=1" }')
    assert place.refused(serving, asking(only=("hello",))) == [
        "plugins/hello.py: $.requires.pricing: hello 2.0 requires pricing >=1, which is not there"
    ]


def test_a_refusal_names_whose_fault_it_is_and_of_which_plugin(place: Place, serving: Snapshot) -> None:
    place.plugins.folder("pricing", more='requires = { catalog = ">=1" }')
    result = place.scan(serving)
    assert isinstance(result, ScanRefused)
    refusal = result.refusals[0].refusal
    assert (refusal.fault, refusal.unit) == (Fault.CONTRACT, "plugin pricing")


def test_a_broken_configuration_refuses_the_scan_with_every_error(place: Place, serving: Snapshot) -> None:
    place.configure(CONFIG + "[drain]\nhttp = -1\nhtp = 3\n")
    assert [line.split(": ")[:2] for line in place.refused(serving)] == [
        ["changeover.toml", "$.drain.http"],
        ["changeover.toml", "$.drain.htp"],
    ]


def test_only_takes_the_named_plugin_and_a_broken_neighbour_does_not_hinder_it(place: Place, serving: Snapshot) -> None:
    place.plugins.folder("pricing", "1.5.0", '[services]\nquote = "/p"\n')
    place.plugins.single("hello", "?")
    place.plugins.single("other", "1.0")
    found = place.candidate(serving, asking(only=("pricing",)))
    assert plugin(found.snapshot, "pricing").version == "1.5.0"
    assert plugin(found.snapshot, "hello").key == plugin(serving, "hello").key
    assert {route.path for route in found.snapshot.routes} == {"/", "/p"}
    assert len([unit for unit in found.snapshot.units if isinstance(unit, PluginSpec)]) == 2


def test_only_of_a_plugin_that_was_removed_takes_it_out(place: Place, serving: Snapshot) -> None:
    (place.plugins.path / "hello.py").unlink()
    found = place.candidate(serving, asking(only=("hello",)))
    assert found.summary == ("- hello 1.0", "app unchanged")


def test_only_of_a_name_that_nothing_has_is_refused(place: Place, serving: Snapshot) -> None:
    assert place.refused(serving, asking(only=("prizing",))) == [
        "--only: there is no plugin or pipeline prizing; there are: app, hello, pricing, pricing:quote; "
        "did you mean `pricing`?"
    ]


def test_settings_of_a_plugin_that_is_not_there_are_told_whether_anything_changes_or_not(
    place: Place, serving: Snapshot
) -> None:
    stray = "unused: [plugins.helo] names no plugin; did you mean `hello`?"
    place.configure(CONFIG + "[plugins.helo]\nconfig = { a = 1 }\n")
    assert place.scan(serving) == NothingChanged((stray,))
    place.plugins.single("hello", "2.0")
    assert stray in place.candidate(serving).summary


def test_settings_of_a_plugin_that_is_broken_and_was_not_asked_for_are_not(place: Place, serving: Snapshot) -> None:
    place.configure(CONFIG + "[plugins.geo]\nconfig = { a = 1 }\n")
    place.plugins.single("hello", "2.0")
    (place.plugins.path / "geo.py").write_text("# /// script\n# [tool.changeover]\n# id = 7\n# ///\n")
    found = place.candidate(serving, asking(only=("hello",)))
    assert not [line for line in found.summary if line.startswith("unused: ")]


def test_settings_of_a_plugin_that_was_taken_out_and_lies_there_are_not(place: Place, back: Snapshot) -> None:
    place.configure(CONFIG + "[plugins.pricing]\nconfig = { a = 1 }\n")
    assert not [line for line in place.candidate(back).summary if line.startswith("unused: ")]


LOST = (
    "plugins/hello.py: hello serves from it, and its `# /// script` block with [tool.changeover] is gone; "
    "put it back, or delete the file to remove hello"
)


@pytest.mark.parametrize("left", ["", "# // script\n# [tool.changeover]\n# id = 'hello'\n# ///\n"])
@pytest.mark.parametrize("trigger", [Trigger.HUP, Trigger.BOOT])
def test_a_file_that_lost_its_block_is_a_mistake_and_only_its_removal_removes_the_plugin(
    place: Place, serving: Snapshot, trigger: Trigger, left: str
) -> None:
    (place.plugins.path / "hello.py").write_text(left)
    place.plugins.folder("pricing", "1.5.0")
    place.restart()
    assert place.refused(serving, CutoverRequest(Origin(trigger))) == [LOST]
    assert plugin(place.candidate(serving, asking(only=("pricing",))).snapshot, "hello").version == "1.0"
    (place.plugins.path / "hello.py").unlink()
    assert "- hello 1.0" in place.candidate(serving).summary


def test_a_file_that_lost_its_block_is_known_by_its_own_name_and_not_by_the_plugins(place: Place) -> None:
    file = place.plugins.single("hello").rename(place.plugins.path / "greeting.py")
    serving = place.candidate(None).snapshot
    (place.plugins.path / "hello.py").write_text("")
    assert place.scan(serving) == NothingChanged()
    file.write_text("")
    assert place.refused(serving) == [LOST.replace("hello.py", "greeting.py")]


def test_only_of_a_plugin_with_a_broken_block_in_a_file_of_another_name_does_not_remove_it(place: Place) -> None:
    file = place.plugins.single("hello").rename(place.plugins.path / "greeting.py")
    serving = place.candidate(None).snapshot
    place.plugins.single("hello", "?").rename(file)
    assert place.refused(serving, asking(only=("hello",))) == [
        "plugins/greeting.py: $.tool.changeover.version: '?' is no version; write it like 1.5.0"
    ]
    place.configure(CONFIG + '[plugins.hello]\nreload = "disabled"\n')
    assert place.scan(serving) == NothingChanged(("not taken: hello (disabled, broken on disk)",))


def test_a_broken_wheel_of_another_name_does_not_remove_its_plugin(place: Place) -> None:
    wheel = place.plugins.path / "shop_geo-1.3-py3-none-any.whl"
    with ZipFile(wheel, "w") as made:
        made.writestr("plugin.toml", 'id = "geo"\nversion = "1.3"\n')
    place.configure(f'{CONFIG}reload = "on-signal"\n[plugins.geo]\nreload = "on-change"\n')
    serving = place.candidate(None).snapshot
    wheel.write_bytes(b"half")
    for request in (asking(only=("geo",)), CutoverRequest(Origin(Trigger.WATCH), policy=ON_CHANGE)):
        assert place.refused(serving, request)[1:] == [
            "plugins/shop_geo-1.3-py3-none-any.whl: geo serves, and this may be its wheel; mend it, or delete it if "
            "geo is to be removed"
        ]
    place.plugins.single("hello", "1.1")
    assert plugin(place.candidate(serving, asking(only=("hello",))).snapshot, "geo").version == "1.3"
    wheel.unlink()
    assert place.candidate(serving, asking(only=("geo",))).summary[0] == "- geo 1.3"


def test_a_folder_that_lost_its_manifest_is_a_mistake_and_only_its_removal_removes_the_plugin(
    place: Place, serving: Snapshot
) -> None:
    folder = place.plugins.path / "pricing"
    (folder / "plugin.toml").unlink()
    assert place.refused(serving) == [
        "plugins/pricing: pricing serves from it, and its plugin.toml is gone; "
        "put it back, or delete the folder to remove pricing"
    ]
    folder.rename(place.root / "elsewhere")
    assert "- pricing 1.4.0" in place.candidate(serving).summary


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda place: place.plugins.single("hello", "2.0"), "not taken: hello (disabled, changed on disk)"),
        (lambda place: place.plugins.single("hello", "?"), "not taken: hello (disabled, broken on disk)"),
        (lambda place: (place.plugins.path / "hello.py").write_text(""), "not taken: hello (disabled, broken on disk)"),
        (lambda place: (place.plugins.path / "hello.py").unlink(), "not taken: hello (disabled, removed on disk)"),
        (lambda place: place.configure(CONFIG + '[plugins.hello]\nreload = "disabled"\nconfig = { a = 1 }\n'),
         "not taken: hello (disabled, other configuration)"),
    ],
    ids=["changed", "broken", "lost", "removed", "configured"],
)  # fmt: skip
def test_a_disabled_plugin_stays_as_it_serves_and_is_named(
    place: Place, serving: Snapshot, change: Callable[[Place], object], note: str
) -> None:
    place.configure(CONFIG + '[plugins.hello]\nreload = "disabled"\n')
    change(place)
    assert place.scan(serving) == NothingChanged((note,))
    place.plugins.folder("pricing", "1.5.0")
    assert note in place.candidate(serving).summary


MORE = '[services]\nquote = "/prices"\nmore = "/more"\n'
PRICING_IS_HELD = "not taken: pricing 1.5.0 (held; change it, or --force)"


@pytest.fixture
def back(place: Place, serving: Snapshot) -> Snapshot:
    """What serves after pricing 1.5.0, which lies on disk, was rolled back."""
    place.plugins.folder("pricing", "1.5.0", MORE, pricing="price = 2")
    return place.roll_back(place.candidate(serving).snapshot, serving)


def test_nothing_but_what_was_rolled_back_is_held_back(place: Place, back: Snapshot) -> None:
    assert place.scan(back) == HeldBack((PRICING_IS_HELD,))
    assert place.scan(back, asking(only=("pricing",))) == HeldBack((PRICING_IS_HELD,))


def test_a_change_elsewhere_leaves_what_was_rolled_back_as_it_serves(place: Place, back: Snapshot) -> None:
    place.plugins.single("hello", "2.0")
    found = place.candidate(back)
    assert found.summary == ("hello 1.0 -> 2.0 (1 file)", "app unchanged", PRICING_IS_HELD)
    assert plugin(found.snapshot, "pricing").key == plugin(back, "pricing").key
    assert place.scan(back, asking(only=("pricing",))) == HeldBack((PRICING_IS_HELD,))
    assert PRICING_IS_HELD not in place.candidate(back, asking(only=("hello",))).summary


def test_a_start_leaves_what_was_rolled_back_as_it_served(place: Place, back: Snapshot) -> None:
    place.plugins.single("hello", "2.0")
    found = place.candidate(back, CutoverRequest(Origin(Trigger.BOOT)))
    assert PRICING_IS_HELD in found.summary
    assert plugin(found.snapshot, "pricing").version == "1.4.0"


def test_force_takes_what_was_rolled_back(place: Place, back: Snapshot) -> None:
    found = place.candidate(back, asking(force=True))
    assert plugin(found.snapshot, "pricing").version == "1.5.0"


@pytest.mark.parametrize(
    "change",
    [
        lambda place: place.plugins.folder("pricing", "1.5.0", MORE, pricing="price = 3"),
        lambda place: place.configure(CONFIG + "[plugins.pricing]\nconfig = { a = 1 }\n"),
    ],
    ids=["files", "configuration"],
)  # fmt: skip
def test_what_was_rolled_back_is_taken_with_its_pipelines_once_it_changed(
    place: Place, back: Snapshot, change: Callable[[Place], object]
) -> None:
    change(place)
    found = place.candidate(back)
    assert plugin(found.snapshot, "pricing").version == "1.5.0"
    assert {route.path for route in found.snapshot.routes} == {"/", "/prices", "/more"}
    assert not [line for line in found.summary if line.startswith("not taken")]


def test_a_removal_that_was_rolled_back_is_held(place: Place, serving: Snapshot) -> None:
    (place.plugins.path / "hello.py").unlink()
    back = place.roll_back(place.candidate(serving).snapshot, serving)
    note = "not taken: hello (removed on disk, held; change it, or --force)"
    assert place.scan(back) == HeldBack((note,))
    place.plugins.folder("pricing", "1.5.0")
    assert plugin(place.candidate(back).snapshot, "hello").version == "1.0"


def test_a_new_plugin_that_was_rolled_back_stays_out(place: Place, serving: Snapshot) -> None:
    place.plugins.single("other", "1.0")
    back = place.roll_back(place.candidate(serving).snapshot, serving)
    place.plugins.single("hello", "2.0")
    found = place.candidate(back)
    assert "not taken: other 1.0 (held; change it, or --force)" in found.summary
    assert "other" not in {unit.key.ref.name for unit in found.snapshot.units}


def test_configuration_that_was_rolled_back_is_held(place: Place, serving: Snapshot) -> None:
    place.configure(CONFIG + '[plugins.hello]\nconfig = { a = 1 }\n[plugins.pricing]\nmount = "/p"\n')
    back = place.roll_back(place.candidate(serving).snapshot, serving)
    assert place.scan(back) == HeldBack((
        "not taken: hello 1.0 (other configuration, held; change it, or --force)",
        "not taken: pipeline pricing:quote (held; change it, or --force)",
    ))  # fmt: skip
    place.configure(CONFIG + '[plugins.hello]\nconfig = { a = 1 }\n[plugins.pricing]\nmount = "/q"\n')
    assert {route.path for route in place.candidate(back).snapshot.routes} == {"/", "/q"}


def test_a_contradiction_to_what_is_held_names_it_beside_the_reason(place: Place, back: Snapshot) -> None:
    place.configure(CONFIG + '[[pipelines]]\nmatch = { path = "/x" }\nservice = "pricing:more"\n')
    result = place.scan(back)
    assert isinstance(result, ScanRefused)
    [reason] = result.refusals
    assert "pricing 1.4.0 has no service more" in reason.refusal.summary
    assert result.notes == (PRICING_IS_HELD,)


def test_held_content_and_changed_application_code_are_both_named(place: Place, back: Snapshot) -> None:
    (place.root / "shop.py").write_text("app = 1")
    app = "not taken: app: 1 file changed on disk: shop.py (needs a roll)"
    assert place.scan(back, SWAP) == HeldBack((PRICING_IS_HELD, app))


def test_a_second_rollback_does_not_go_to_what_the_first_left(place: Place, serving: Snapshot) -> None:
    place.plugins.folder("pricing", "1.5.0")
    second = place.candidate(serving).snapshot
    place.plugins.single("hello", "2.0")
    third = place.candidate(second, HUP, serving, second).snapshot
    back = place.roll_back(third, serving)
    assert "no earlier content is kept" in str(place.scan(back, asking(action=Action.ROLLBACK), serving, second, third))


def test_changed_application_code_makes_a_roll(place: Place, serving: Snapshot) -> None:
    (place.root / "shop.py").write_text("app = 1")
    found = place.candidate(serving)
    assert found.summary == ("app shop:app (1 file)",)
    assert found.snapshot.rolled == found.snapshot.epoch > serving.rolled
    assert get(place.store, application(found.snapshot).artifact) == {"shop.py": b"app = 1"}


def test_plugins_alone_make_a_swap_that_the_same_processes_serve(place: Place, serving: Snapshot) -> None:
    place.plugins.single("hello", "2.0")
    assert place.candidate(serving).snapshot.rolled == serving.rolled


def test_told_to_roll_unchanged_content_rolls_as_well(place: Place, serving: Snapshot) -> None:
    found = place.candidate(serving, asking(strategy=Strategy.ROLL)).snapshot
    assert found.is_roll
    assert found.digest == serving.digest


def test_told_to_swap_changed_application_code_alone_is_left(place: Place, serving: Snapshot) -> None:
    (place.root / "shop.py").write_text("app = 1")
    assert place.scan(serving, SWAP) == RollNeeded(("app: 1 file changed on disk: shop.py (needs a roll)",))


def test_the_first_few_of_the_changed_files_are_named(place: Place, serving: Snapshot) -> None:
    (place.root / "shop.py").rename(place.root / "store.py")
    assert place.scan(serving, SWAP) == RollNeeded((
        "app: 2 files changed on disk: shop.py gone, store.py added (needs a roll)",
    ))  # fmt: skip
    for name in ("a", "b", "c"):
        (place.root / f"{name}.py").touch()
    assert place.scan(serving, SWAP) == RollNeeded((
        "app: 5 files changed on disk: a.py added, b.py added, c.py added and 2 more (needs a roll)",
    ))  # fmt: skip


def test_told_which_plugins_to_take_the_application_is_left(place: Place, serving: Snapshot) -> None:
    (place.root / "shop.py").write_text("app = 1")
    place.plugins.single("hello", "2.0")
    found = place.candidate(serving, asking(only=("hello",)))
    assert not found.snapshot.is_roll
    assert "not taken: app: 1 file changed on disk: shop.py (needs a roll)" in found.summary


def test_other_settings_of_the_application_make_a_roll(place: Place, serving: Snapshot) -> None:
    place.configure(CONFIG.replace("shop:app", "shop:other"))
    found = place.candidate(serving)
    assert found.snapshot.is_roll
    assert application(found.snapshot).target == "shop:other"


def test_a_rollback_brings_application_code_back_by_a_roll_and_says_what_it_leaves(
    place: Place, serving: Snapshot
) -> None:
    (place.root / "shop.py").write_text("app = 1")
    second = place.candidate(serving).snapshot
    back = place.candidate(second, asking(action=Action.ROLLBACK), serving, second)
    assert back.snapshot.is_roll
    assert application(back.snapshot).artifact == application(serving).artifact
    assert any(line.startswith("not taken: data") for line in back.summary)


def test_application_code_that_was_rolled_back_is_held_until_it_is_changed_or_forced(
    place: Place, serving: Snapshot
) -> None:
    (place.root / "shop.py").write_text("app = 1")
    second = place.candidate(serving).snapshot
    back = place.roll_back(second, serving)
    assert place.scan(back) == HeldBack(("not taken: app (held; change it, or --force)",))
    assert place.candidate(back, asking(force=True)).snapshot.is_roll
    (place.root / "shop.py").write_text("app = 2")
    assert place.candidate(back).snapshot.is_roll


def test_changed_application_code_is_carried_forward_by_a_swap(place: Place, serving: Snapshot) -> None:
    (place.root / "shop.py").write_text("app = 1")
    (place.root / "new.py").write_text("")
    place.plugins.single("hello", "2.0")
    found = place.candidate(serving, SWAP)
    assert "app unchanged" in found.summary
    assert "not taken: app: 2 files changed on disk: new.py added, shop.py (needs a roll)" in found.summary


def test_the_first_scan_stores_the_application_with_what_is_installed(place: Place, serving: Snapshot) -> None:
    app = application(serving)
    assert get(place.store, app.artifact) == {"shop.py": b"app = None"}
    assert "changeover" in Distributions.of_files(get(place.store, app.distributions)).versions


def test_changes_are_told_against_what_is_committed_and_not_against_the_start(place: Place, serving: Snapshot) -> None:
    (place.root / "shop.py").write_text("app = 1")
    place.restart()
    assert place.candidate(serving).summary == ("app shop:app (1 file)",)
    (place.root / "shop.py").write_text("app = None")
    assert place.scan(serving) == NothingChanged()


def test_a_start_takes_the_application_that_lies_on_disk(place: Place, serving: Snapshot) -> None:
    (place.root / "shop.py").write_text("app = 1")
    (place.root / "more.py").write_text("")
    place.restart()
    found = place.candidate(serving, CutoverRequest(Origin(Trigger.BOOT)))
    assert found.summary == ("app shop:app (2 files)",)
    assert get(place.store, application(found.snapshot).artifact)["shop.py"] == b"app = 1"


def test_what_is_installed_belongs_to_the_application(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = place.root / ".installed"
    (installed / "demo-1.0.dist-info").mkdir(parents=True)
    monkeypatch.setenv("PYTHONPATH", str(installed))
    place.restart()
    serving = place.candidate(None).snapshot
    (installed / "demo-1.0.dist-info").rename(installed / "demo-1.1.dist-info")
    assert place.scan(serving, SWAP) == RollNeeded(("app: installed: demo 1.0 -> 1.1 (needs a roll)",))
    found = place.candidate(serving)
    assert found.snapshot.is_roll
    assert found.summary == ("app shop:app (installed packages)",)


def test_the_store_keeps_the_applications_of_kept_generations_only(place: Place, serving: Snapshot) -> None:
    (place.root / "shop.py").write_text("app = 1")
    second = place.candidate(serving, HUP, serving).snapshot
    place.scan(second, HUP, serving)
    assert get(place.store, application(serving).artifact)
    place.scan(second, HUP, second)
    assert not folder_of(place.store, application(serving).artifact).exists()
    assert folder_of(place.store, application(second).artifact).is_dir()


def test_an_application_that_is_damaged_in_the_store_is_never_carried_forward(place: Place, serving: Snapshot) -> None:
    folder = folder_of(place.store, application(serving).artifact)
    folder.chmod(0o755)
    (folder / "shop.py").unlink()
    place.plugins.single("hello", "2.0")
    (place.root / "shop.py").write_text("app = 2")
    result = place.scan(serving, asking(only=("hello",)))
    assert isinstance(result, ScanRefused)
    assert f"artifact {folder.name[:12]} in the store" in result.refusals[0].refusal.summary
    (place.root / "shop.py").write_text("app = None")
    place.candidate(serving)
    assert get(place.store, folder.name) == {"shop.py": b"app = None"}


def test_runtime_and_state_are_no_part_of_the_application(place: Place) -> None:
    for folder in ("state", "runtime", "shop"):
        (place.root / folder).mkdir(exist_ok=True)
        (place.root / folder / "x.py").write_text("")
    source = Source(folder=place.root)
    apart = [place.root / "state", place.root / "runtime"]
    place.scanner = Scanner(check(source).required(), lambda: check(source), place.store, apart)
    found = place.candidate(None).snapshot
    assert list(get(place.store, application(found).artifact)) == ["shop.py", "shop/x.py"]


def test_settings_that_stand_until_a_restart_are_named(place: Place, serving: Snapshot) -> None:
    place.configure("workers = 3\nbacklog = 1\n" + CONFIG + "[drain]\nhttp = 1\n")
    assert place.scan(serving) == RollNeeded(
        ("workers (needs a restart)", "backlog (needs a restart)", "drain.http (needs a restart)"), rolls=False
    )


def test_a_plugins_configuration_and_pipelines_are_swapped(place: Place, serving: Snapshot) -> None:
    place.configure(CONFIG + '[plugins.pricing]\nmount = "/p"\nconfig = { b = 1, a = 2 }\n')
    found = place.candidate(serving)
    assert found.summary == ("pricing 1.4.0 (configuration)", "+1 route", "-1 route", "app unchanged")
    assert plugin(found.snapshot, "pricing").config == b"\x82\xa1a\x02\xa1b\x01"


def test_everything_removed_leaves_an_empty_generation_that_is_legal(tmp_path: Path) -> None:
    PluginFolder(tmp_path / "plugins")
    (tmp_path / "changeover.toml").write_text('[plugins]\ndir = "plugins"\n')
    source = Source(folder=tmp_path)
    scanner = Scanner(check(source).required(), lambda: check(source), tmp_path / "store")
    result = scanner.scan(HUP, 1, None)
    assert isinstance(result, Candidate)
    assert (result.snapshot.units, result.snapshot.routes) == ((), ())


def test_a_rollback_brings_the_content_before_back_as_a_new_epoch(place: Place, serving: Snapshot) -> None:
    place.plugins.folder("pricing", "1.5.0", pricing="price = 2")
    second = place.candidate(serving).snapshot
    found = place.candidate(second, asking(action=Action.ROLLBACK), serving, second)
    assert (found.restores, found.snapshot.epoch, found.snapshot.digest) == (1, 3, serving.digest)
    assert found.summary == ("pricing 1.5.0 -> 1.4.0 (2 files)", "+1 route", "app unchanged")


def test_a_rollback_whose_artifacts_are_gone_is_refused(place: Place, serving: Snapshot) -> None:
    place.plugins.folder("pricing", "1.5.0")
    second = place.candidate(serving).snapshot
    assert collect(place.store, [second]) == 1
    result = place.scan(second, asking(action=Action.ROLLBACK, to=1), serving, second)
    assert isinstance(result, ScanRefused)
    assert result.refusals[0].refusal.fault is Fault.RESOURCE


def test_a_rollback_to_what_is_not_kept_is_refused(place: Place, serving: Snapshot) -> None:
    assert "epoch 7 is not kept" in place.refused(serving, asking(action=Action.ROLLBACK, to=7))[0]
    assert "no earlier content is kept" in place.refused(serving, asking(action=Action.ROLLBACK))[0]


def tamper(place: Place, digest: str) -> Path:
    """Add a file to an artifact in the store."""
    folder = folder_of(place.store, digest)
    folder.chmod(0o755)
    (folder / "more.py").write_text("")
    return folder


def test_an_artifact_that_was_tampered_with_is_never_served(place: Place, serving: Snapshot) -> None:
    tamper(place, plugin(serving, "hello").artifact)
    place.plugins.single("hello", "1.1")
    place.plugins.folder("pricing", "1.5.0")
    result = place.scan(serving, asking(only=("pricing",)))
    assert isinstance(result, ScanRefused)
    assert "is not the content that its name says" in result.refusals[0].refusal.summary


@pytest.mark.parametrize("gone", [False, True])
def test_what_serves_and_is_damaged_is_stored_again_by_a_reload_where_it_lies_on_disk_as_it_was(
    gone: bool, place: Place, serving: Snapshot, caplog: pytest.LogCaptureFixture
) -> None:
    hello, app = plugin(serving, "hello").artifact, application(serving).artifact
    for digest in (hello, app):
        folder = tamper(place, digest)
        if gone:
            shutil.rmtree(folder)
    assert place.scan(serving, asking(dry_run=True)) == NothingChanged()
    result = place.scan(serving)
    assert isinstance(result, NothingChanged)
    assert [note.partition(", whose artifact")[0] for note in result.notes] == [
        "stored again: plugin hello",
        "stored again: application app",
    ]
    assert get(place.store, hello).keys() == {"hello.py"}
    assert get(place.store, app).keys() == {"shop.py"}
    assert caplog.text.count("stored again from the disk") == 2
    assert place.scan(serving) == NothingChanged()


def test_a_store_that_cannot_be_written_is_a_refusal_of_resources(place: Place) -> None:
    place.store.parent.mkdir()
    place.store.write_text("a file where a folder should be")
    result = place.scan(None)
    assert isinstance(result, ScanRefused)
    assert result.refusals[0].refusal.fault is Fault.RESOURCE


def test_a_scan_clears_the_store_of_what_no_kept_generation_has(place: Place, serving: Snapshot) -> None:
    place.plugins.folder("pricing", "1.5.0")
    second = place.candidate(serving, HUP, serving).snapshot
    old, new = (folder_of(place.store, plugin(each, "pricing").artifact) for each in (serving, second))
    place.scan(second, HUP, serving, second)
    assert old.is_dir()
    place.scan(second, HUP, second)
    assert not old.exists()
    assert new.is_dir()
    assert get(place.store, plugin(second, "hello").artifact)


def test_a_scan_that_knows_nothing_of_the_past_clears_nothing(place: Place, serving: Snapshot) -> None:
    place.plugins.folder("pricing", "1.5.0")
    assert isinstance(place.scanner.scan(HUP, 2, None), Candidate)
    assert folder_of(place.store, plugin(serving, "pricing").artifact).is_dir()


def test_the_code_of_a_plugin_whose_resources_alone_changed_is_kept_beside_its_files(
    place: Place, serving: Snapshot
) -> None:
    place.plugins.folder("pricing", "1.5.0")
    second = place.candidate(serving).snapshot
    old, new = plugin(serving, "pricing"), plugin(second, "pricing")
    partial = msgspec.structs.replace(new, code=old.artifact)
    kept = msgspec.structs.replace(second, units=tuple(partial if unit is new else unit for unit in second.units))
    assert collect(place.store, [kept]) == 0
    assert all(folder_of(place.store, each.artifact).is_dir() for each in (old, new))


def test_a_store_that_is_not_there_has_nothing_to_clear(tmp_path: Path) -> None:
    assert collect(tmp_path / "none", []) == 0


def test_a_plugin_whose_name_is_no_text_is_refused_in_words_that_can_be_told(place: Place) -> None:
    os.mkdir(os.fsencode(place.plugins.path) + b"/pri\xffcing")
    [reason] = place.refused(None)
    assert reason.endswith("/pri\\udcffcing: its name is not UTF-8; rename it")
