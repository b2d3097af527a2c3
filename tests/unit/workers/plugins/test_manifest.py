"""Manifests: what a plugin says of itself, read without running it."""

from pathlib import Path

import pytest

from changeover.workers.plugins.manifest import (
    Direction,
    Entry,
    Handler,
    HandlerPhase,
    InitializerDeclaration,
    Manifest,
    Resource,
    SelectorDeclaration,
    ServiceDeclaration,
    ServiceInterface,
)
from changeover.workers.plugins.manifest_reading import ManifestInvalid, load, read_script, read_toml

PRICING = """
id = "pricing"
version = "1.5.0"
api = ">=1,<2"
summary = "Discounts per customer group"
requires = { catalog = ">=2.1,<3" }
plugin = "pricing:Pricing"
config = "pricing:Config"
[handlers]
discount = { direction = "inbound", phase = "limit", after = ["auth"] }
stamp = "outbound"
[services]
quote = { entry = "pricing:Quote", mount = "/prices" }
admin = { entry = "pricing.admin:app", interface = "asgi", mount = "/prices/admin" }
short = "/short"
long = "pricing.long:Long"
[resources]
rules = { path = "rules/*.toml" }
"""

HELLO = '''# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "hello"
# version = "1.0.0"
# handlers = { stamp = "outbound" }
# services = { hello = { mount = "/hello" } }
# ///
"""Greets."""
'''


def mistakes_in(text: str) -> list[str]:
    with pytest.raises(ManifestInvalid) as caught:
        read_toml(text, "plugin.toml")
    return [str(mistake) for mistake in caught.value.mistakes]


def test_everything_a_manifest_says_is_kept() -> None:
    assert read_toml(PRICING, "plugin.toml") == Manifest(
        id="pricing",
        version="1.5.0",
        api=">=1,<2",
        summary="Discounts per customer group",
        requires={"catalog": ">=2.1,<3"},
        plugin="pricing:Pricing",
        config="pricing:Config",
        handlers={
            "discount": Handler(Direction.INBOUND, HandlerPhase.LIMIT, after=("auth",)),
            "stamp": Handler(Direction.OUTBOUND),
        },
        services={
            "quote": ServiceDeclaration("pricing:Quote", mount="/prices"),
            "admin": ServiceDeclaration("pricing.admin:app", ServiceInterface.ASGI, "/prices/admin"),
            "short": ServiceDeclaration(mount="/short"),
            "long": ServiceDeclaration("pricing.long:Long"),
        },
        resources={"rules": Resource("rules/*.toml")},
        module="pricing",
    )


def test_initializers_are_entries_or_names() -> None:
    head = 'id = "feed"\nversion = "1.0.0"\n'
    written = read_toml(f'{head}[initializers]\nlines = "feed:Lines"\nframes = {{ }}\n', "plugin.toml")
    assert written.initializers == {"lines": InitializerDeclaration("feed:Lines"), "frames": InitializerDeclaration()}
    listed = read_toml(f'{head}initializers = ["lines", "by-length"]\n', "plugin.toml")
    assert listed.initializers == {"lines": InitializerDeclaration(), "by-length": InitializerDeclaration()}
    assert listed.entry("by-length", "") == Entry("feed", "by_length")
    assert mistakes_in(f'{head}initializers = ["Lines"]\n') == [
        "$.initializers.Lines: 'Lines' is no name: lower-case letters, digits, `-` and `_`, a letter first"
    ]
    assert mistakes_in(f'{head}initializers = {{ lines = "Lines" }}\n') == [
        "$.initializers.lines.entry: 'Lines' is no entry; write it like `package.module:Name`"
    ]
    assert [told.partition(":")[0] for told in mistakes_in(f"{head}initializers = [1]\n")] == ["$.initializers"]


def test_all_mistakes_are_told_at_once_with_file_and_path() -> None:
    with pytest.raises(ManifestInvalid) as caught:
        read_toml(
            'idd = "x"\nversion = 1\n[handlers]\ndiscount = { direction = "inbund", phse = "app" }', "p/plugin.toml"
        )
    assert str(caught.value).splitlines() == [
        "p/plugin.toml: $.idd: unknown key; did you mean `id`?",
        "p/plugin.toml: $.version: 1 is not text",
        "p/plugin.toml: $.handlers.discount.direction: 'inbund' is not one of inbound, outbound, around;"
        " did you mean `inbound`?",
        "p/plugin.toml: $.handlers.discount.phse: unknown key; did you mean `phase`?",
        "p/plugin.toml: $.id: missing, and it has no default",
    ]


def test_what_has_the_right_type_and_makes_no_sense_is_told_at_once_too() -> None:
    text = """
id = "Pricing"
version = "one"
api = "~"
requires = { catalog = "new" }
plugin = "pricing"
[handlers]
"Bad Name" = "inbound"
[services]
quote = { entry = "a b:c", mount = "prices/" }
[resources]
up = { path = "../secrets" }
deep = { path = "**/**/**/x" }
"""
    assert [mistake.split(":")[0] for mistake in mistakes_in(text)] == [
        "$.id",
        "$.version",
        "$.api",
        "$.requires.catalog",
        "$.plugin",
        '$.handlers."Bad Name"',
        "$.services.quote.entry",
        "$.services.quote.mount",
        "$.resources.up.path",
        "$.resources.deep.path",
    ]


def test_what_is_nested_without_end_is_no_toml() -> None:
    [mistake] = mistakes_in(f'id = "x"\nversion = "1"\nrequires = {"[" * 10_000}')
    assert mistake == "$: no TOML: tables or lists are in each other, more than 100 deep"
    [mistake] = mistakes_in(f'id = "x"\nversion = "1"\nsummary{".a" * 100_000} = 1')
    assert mistake == "$: no TOML: a key has more than 32 parts (at line 3)"


@pytest.mark.parametrize(
    "needed", ["numpy >> 2", "x; os_name ~= 'x'", "x; 'a' ~= 'b'", f"x; {'(' * 3000}os_name == 'x'{')' * 3000}"]
)
def test_a_requirement_that_nobody_can_judge_is_told(needed: str) -> None:
    [mistake] = mistakes_in(f'id = "x"\nversion = "1"\ndependencies = ["{needed}"]')
    assert mistake.startswith("$.dependencies[0]: ")
    assert mistake.endswith("is no requirement; write it like `numpy>=2,<3`")


def test_a_mount_without_its_slash_is_told_from_an_entry() -> None:
    assert mistakes_in('id = "x"\nversion = "1"\nservices = { greet = "greet" }') == [
        "$.services.greet.entry: 'greet' is no entry; write it like `package.module:Name`; a mount begins with `/`"
    ]


LIVING = """
id = "cart"
version = "1.4.0"
plugin = "cart:Cart"
capabilities = ["net"]
state = ">=1.3,<2"
self_test = "cart.tried:run"
strategy = "roll"
singleton = true
extensions = { "shop.pricing" = "cart:Pricing", "shop.tax" = "" }
selectors = { old-clients = "cart.clients:is_old", beta = {} }
dependencies = ["numpy>=2,<3"]
packages = "vendored"
"""


def test_what_a_manifest_says_of_the_plugins_life_is_kept() -> None:
    manifest = read_toml(LIVING, "plugin.toml")
    assert manifest == Manifest(
        "cart",
        "1.4.0",
        plugin="cart:Cart",
        capabilities=("net",),
        state=">=1.3,<2",
        self_test="cart.tried:run",
        strategy="roll",
        singleton=True,
        extensions={"shop.pricing": "cart:Pricing", "shop.tax": ""},
        selectors={"old-clients": SelectorDeclaration("cart.clients:is_old"), "beta": SelectorDeclaration()},
        dependencies=("numpy>=2,<3",),
        packages="vendored",
        module="cart",
    )
    listed = read_toml('id = "x"\nversion = "1"\nextensions = ["a.b"]\nselectors = ["c"]', "plugin.toml")
    assert (listed.extensions, listed.selectors) == ({"a.b": ""}, {"c": SelectorDeclaration()})


def test_what_makes_no_sense_in_a_plugins_life_is_told_at_once() -> None:
    text = """
id = "cart"
version = "1.4.0"
capabilities = ["Net", "exec"]
state = "new"
self_test = "run"
extensions = { "Shop" = "cart:Pricing", "shop.tax" = "tax" }
selectors = { Beta = {} }
dependencies = ["numpy>=2", "two words"]
packages = "../vendored"
"""
    assert [told.split(": ")[0] for told in mistakes_in(text)] == [
        "$.self_test",
        "$.selectors.Beta",
        "$.extensions.Shop",
        '$.extensions."shop.tax"',
        "$.state",
        "$.dependencies[1]",
        "$.packages",
        "$.capabilities[0]",
    ]
    assert mistakes_in('id = "x"\nversion = "1"\nsingleton = true') == [
        "$.singleton: says in how many workers `on_activate` of `plugin` runs, and there is no `plugin`"
    ]
    assert mistakes_in('id = "x"\nversion = "1"\nstrategy = "rol"') == [
        "$.strategy: 'rol' is not one of swap, roll; did you mean `roll`?"
    ]


def test_dependencies_stand_where_the_standard_has_them_or_in_our_table_or_both() -> None:
    above = HELLO.replace("# [tool", '# dependencies = ["numpy"]\n# [tool')
    manifest = read_script(above, "hello.py")
    assert manifest is not None
    assert manifest.dependencies == ("numpy",)
    both = read_script(above.replace("# id", '# dependencies = ["msgspec"]\n# id'), "hello.py")
    assert both is not None
    assert both.dependencies == ("numpy", "msgspec")
    for wrong, path in (('["two words"]', r"\$.dependencies\[0\]"), ('"numpy"', r"\$.dependencies: .* is not a list")):
        with pytest.raises(ManifestInvalid, match=path):
            read_script(above.replace('["numpy"]', wrong), "hello.py")


@pytest.mark.parametrize("reserved", ["app", "dir", "keys", "reload"])
def test_an_id_that_the_configuration_uses_is_refused(reserved: str) -> None:
    [mistake] = mistakes_in(f'id = "{reserved}"\nversion = "1"')
    assert "taken by the configuration" in mistake


def test_a_plugin_for_another_api_is_refused() -> None:
    [mistake] = mistakes_in('id = "x"\nversion = "1"\napi = ">=2"')
    assert mistake == "$.api: this version offers plugin API 1.0, which is not in >=2"


def test_a_syntax_error_is_told_with_its_line() -> None:
    [mistake] = mistakes_in('id = "x"\nversion =\n')
    assert "line 2" in mistake


def test_handlers_are_looked_up_on_the_plugins_instance_or_in_its_module() -> None:
    with_class = read_toml('id = "a"\nversion = "1"\nplugin = "pkg.core:Main"', "plugin.toml")
    stateless = read_toml('id = "rate-limit"\nversion = "1"', "plugin.toml")
    assert with_class.entry("on-call", "") == Entry("pkg.core", "on_call", on_instance=True)
    assert with_class.entry("x", "pkg.other:thing") == Entry("pkg.other", "thing")
    assert stateless.entry("check", "") == Entry("rate_limit", "check")


def test_a_single_file_carries_its_manifest_in_an_inline_block() -> None:
    manifest = read_script(HELLO, "plugins/greeting.py")
    assert manifest is not None
    assert (manifest.id, manifest.module) == ("hello", "greeting")
    assert manifest.services == {"hello": ServiceDeclaration(mount="/hello")}
    assert manifest.entry("hello", "") == Entry("greeting", "hello")


@pytest.mark.parametrize(
    "text",
    ["x = 1\n", "# /// script\n# dependencies = []\n# ///\n", "# /// other\n# [tool.changeover]\n# ///\n"],
    ids=["no block", "a block of other tools", "a block of another type"],
)
def test_a_file_without_our_table_is_no_plugin(text: str) -> None:
    assert read_script(text, "x.py") is None


def test_an_inline_block_with_windows_line_ends_is_read() -> None:
    assert read_script(HELLO.replace("\n", "\r\n"), "hello.py") is not None


def test_mistakes_in_an_inline_block_are_told_from_the_blocks_root() -> None:
    with pytest.raises(ManifestInvalid) as caught:
        read_script(HELLO.replace('"outbound"', '"sideways"'), "hello.py")
    assert caught.value.mistakes[0].path == "$.tool.changeover.handlers.stamp.direction"


def test_what_is_no_toml_in_an_inline_block_is_told_with_the_files_line() -> None:
    text = '"""Says hello."""\n\n# /// script\n# [tool.changeover]\n# id = hello\n# ///\n'
    with pytest.raises(ManifestInvalid, match=r"at line 5\b"):
        read_script(text, "hello.py")


def test_two_blocks_are_refused() -> None:
    with pytest.raises(ManifestInvalid, match="2 `# /// script` blocks"):
        read_script(HELLO + HELLO, "hello.py")


def test_an_interpreter_that_it_was_not_written_for_is_refused() -> None:
    with pytest.raises(ManifestInvalid):
        read_script(HELLO.replace('requires-python = ">=3.11"', 'requires-python = ">=4"'), "hello.py")


def test_a_folder_and_an_artifact_of_one_file_are_loaded_alike(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "plugin.toml").write_text(PRICING)
    (tmp_path / "single").mkdir()
    (tmp_path / "single" / "hello.py").write_text(HELLO)
    (tmp_path / "neither").mkdir()
    assert load(tmp_path / "folder").id == "pricing"
    assert load(tmp_path / "single").id == "hello"
    with pytest.raises(ManifestInvalid, match=r"no plugin\.toml"):
        load(tmp_path / "neither")


def test_a_manifest_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plugin.toml").write_bytes(b'id = "\xff"')
    with pytest.raises(ManifestInvalid, match="not UTF-8"):
        load(tmp_path)
