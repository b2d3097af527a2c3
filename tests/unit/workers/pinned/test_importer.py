"""Modules come out of the content whatever lies on disk, and everything that Python offers around them still works."""

import importlib.util
import shutil
import sysconfig
from pathlib import Path

import pytest

from tests.unit.workers.pinned.conftest import PinnedApp

SHOP = {
    "shop/__init__.py": "from shop.rules import FACTOR\nNAME = 'taken'\n",
    "shop/rules.py": "FACTOR = 'taken'\n",
    "shop/late.py": "WHICH = 'taken'\ndef fail():\n    raise ValueError(WHICH)  # taken line\n",
    "shop/deep/er.py": "from ..late import WHICH\nfrom . import sibling\n",
    "shop/deep/sibling.py": "HERE = 'taken'\n",
    "main.py": "def late():\n    import shop.late\n    return shop.late.WHICH\n",
}


@pytest.fixture
def edited(app: PinnedApp) -> PinnedApp:
    """An application of which every file was edited after it was taken."""
    app.take(SHOP)
    app.write(dict.fromkeys(SHOP, "raise RuntimeError('edited')\n"))
    return app


@pytest.mark.parametrize(
    "use",
    [
        "import shop; print(shop.NAME)",
        "import main; print(main.late())",
        "from shop.deep.er import WHICH; print(WHICH)",
        "from shop.deep import er; print(er.sibling.HERE)",
        "import importlib; print(importlib.import_module('shop.late').WHICH)",
        "import importlib; print(importlib.import_module('.late', 'shop').WHICH)",
        "import importlib, shop; shop.NAME = 'x'; print(importlib.reload(shop).NAME)",
        "import runpy; print(runpy.run_module('shop.late')['WHICH'])",
        "import importlib.util as u; s = u.find_spec('shop.late'); m = u.module_from_spec(s); s.loader.exec_module(m); "
        "print(m.WHICH)",
    ],
)
def test_every_way_of_importing_leads_to_what_was_taken(edited: PinnedApp, use: str) -> None:
    assert edited.run(use) == ["taken"]


def test_what_is_gone_from_disk_is_imported_all_the_same(app: PinnedApp) -> None:
    app.take(SHOP)
    shutil.rmtree(app.folder)
    assert app.run("import main, shop.deep.er as er; print(main.late(), er.sibling.HERE)") == ["taken taken"]


def test_bytecode_on_disk_is_neither_read_nor_written(app: PinnedApp) -> None:
    app.take(SHOP)
    app.write({"shop/rules.py": "FACTOR = 'edited'\n"})
    app.run("import py_compile; py_compile.compile(str(app / 'shop' / 'rules.py'))")
    assert app.run("import shop; print(shop.FACTOR)") == ["taken"]
    assert [path.name for path in app.folder.rglob("*.pyc")] == [f"rules.{_tag()}.pyc"]


def _tag() -> str:
    return sysconfig.get_python_version().replace(".", "").join(("cpython-", ""))


def test_modules_say_where_their_files_lie(edited: PinnedApp) -> None:
    told = edited.run("""
        import shop, shop.late, shop.deep
        print(shop.__file__, shop.late.__file__, list(shop.__path__), list(shop.deep.__path__), sep='\\n')
        print(shop.late.__cached__, shop.__spec__.origin, shop.late.__package__, sep='\\n')
    """)
    assert [line.replace(str(edited.folder), "") for line in told] == [
        "/shop/__init__.py",
        "/shop/late.py",
        "['/shop']",
        "['/shop/deep']",
        f"/shop/__pycache__/late.{_tag()}.pyc",
        "/shop/__init__.py",
        "shop",
    ]


def test_a_module_that_was_added_on_disk_is_not_imported_and_the_reason_is_told(app: PinnedApp) -> None:
    app.take(SHOP)
    app.write({"shop/new.py": "", "fresh/__init__.py": "", "other.py": ""})
    for name, file, words in (
        ("shop.new", "shop/new.py", "import shop.new"),
        ("shop.new", "shop/new.py", "from shop import new"),
        ("shop.new", "shop/new.py", "import shop; exec('from . import new', vars(shop))"),
        ("fresh", "fresh/__init__.py", "import fresh"),
        ("other", "other.py", "import other"),
    ):
        failed = app.attempt(words)
        assert failed.stderr.splitlines()[-1] == (
            f"ModuleNotFoundError: No module named '{name}': {app.folder / file} is not in the content of epoch 7; "
            "it was added after the last start or roll, or `[app] include` leaves it out"
        )
    assert app.run("import importlib.util as u; print(u.find_spec('shop.new'), u.find_spec('other'))") == ["None None"]


def test_a_module_that_may_be_missing_may_be_missing_when_it_was_added_on_disk(app: PinnedApp) -> None:
    app.take(SHOP)
    app.write({"local_settings.py": "", "shop/local.py": ""})
    assert app.run("""
        try:
            import local_settings
        except ModuleNotFoundError as error:
            print(error.name)
        try:
            from shop import local
        except ImportError:
            print("none")
    """) == ["local_settings", "none"]


def test_an_application_that_is_left_out_of_its_own_content_is_told_why(app: PinnedApp) -> None:
    app.take({"other.py": ""})
    app.write({"main.py": "async def app(scope, receive, send): ...\n"})
    failed = app.attempt("from changeover.workers.serving.application import load; load('main:app', directory=app)")
    assert f"main:app: there is no module 'main' in {app.folder}" in failed.stderr
    assert f"{app.folder}/main.py is not in the content of epoch 7; it was added after" in failed.stderr


def test_what_is_nowhere_is_missed_as_ever(app: PinnedApp) -> None:
    app.take(SHOP)
    assert app.attempt("import nothing").stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'nothing'"


def test_a_folder_that_was_added_offers_no_modules(app: PinnedApp) -> None:
    app.take(SHOP)
    app.write({"added/one.py": ""})
    assert "added/one.py is not in the content" in app.attempt("import added.one").stderr


def test_pkgutil_lists_what_was_taken(app: PinnedApp) -> None:
    app.take(SHOP | {"shop/commands/__init__.py": "", "shop/commands/sell.py": ""})
    app.write({"shop/new.py": ""})
    (app.folder / "shop" / "commands" / "sell.py").unlink()
    assert app.run("""
        import pkgutil, shop
        print([(m.name, m.ispkg) for m in pkgutil.iter_modules(shop.__path__, 'shop.')])
        print([m.name for m in pkgutil.walk_packages(shop.__path__, 'shop.')])
        print([m.name for m in pkgutil.iter_modules([str(app / 'shop' / 'commands')])])
        print([m.name for m in pkgutil.iter_modules([str(app)])])
    """) == [
        "[('shop.commands', True), ('shop.late', False), ('shop.rules', False)]",
        "['shop.commands', 'shop.commands.sell', 'shop.late', 'shop.rules']",
        "['sell']",
        "['main', 'shop']",
    ]


def test_resources_and_data_are_read_where_they_lie(app: PinnedApp) -> None:
    app.take(SHOP | {"shop/words.txt": "taken", "data/more.txt": "taken"})
    app.write({"shop/words.txt": "edited", "shop/late.py": "edited", "data/more.txt": "edited"})
    assert app.run("""
        import importlib.resources as r, pkgutil, shop
        print(r.files('shop').joinpath('words.txt').read_text(), r.files('data').joinpath('more.txt').read_text())
        print(pkgutil.get_data('shop', 'words.txt').decode())
        print(pkgutil.get_data('shop', 'late.py').decode().splitlines()[0])
        print(shop.__loader__.get_data(shop.__file__).decode().splitlines()[1])
    """) == ["edited edited", "edited", "WHICH = 'taken'", "NAME = 'taken'"]


def test_tracebacks_and_inspect_show_the_lines_that_run(edited: PinnedApp) -> None:
    told = edited.run("""
        import inspect, linecache, sys, traceback, warnings
        import shop.late
        try:
            shop.late.fail()
        except ValueError:
            text = traceback.format_exc()
        print("# taken line" in text, "edited" in text)
        linecache.checkcache()
        print(inspect.getsource(shop.late.fail).splitlines()[0])
        print(inspect.getsource(shop.late).splitlines()[0], inspect.getsourcelines(shop.late.fail)[1])
        print(linecache.getline(shop.late.__file__, 1).strip())
    """)
    assert told == ["True False", "def fail():", "WHICH = 'taken' 2", "WHICH = 'taken'"]


@pytest.mark.parametrize(
    "end",
    ["late.fail()", "threading.Thread(target=late.fail).start()", "late.Dying()"],
    ids=["uncaught", "in a thread", "unraisable"],
)
def test_errors_that_nobody_catches_show_the_lines_that_run(app: PinnedApp, end: str) -> None:
    dying = "class Dying:\n    def __del__(self):\n        fail()\n"
    app.take({"late.py": f"def fail():\n    raise ValueError  # taken line\n{dying}"})
    app.write({"late.py": "# edited\n" * 9})
    failed = app.attempt(f"import late, threading\n{end}")
    assert "raise ValueError  # taken line" in failed.stderr
    assert "edited" not in failed.stderr
    assert "ValueError" in failed.stderr.splitlines()[-1]


def test_a_syntax_error_shows_the_line_that_was_taken(app: PinnedApp) -> None:
    app.take({"broken.py": "one = 1\nif taken\n"})
    app.write({"broken.py": "two = 2\nedited = 1\n"})
    assert app.run("""
        try:
            import broken
        except SyntaxError as error:
            print(error.lineno, error.text.strip())
    """) == ["2 if taken"]


def test_namespaces_span_the_application_and_what_is_installed(app: PinnedApp, tmp_path: Path) -> None:
    app.take({"space/own.py": "A = 'taken'\n"})
    app.write({"space/own.py": "A = 'edited'\n"})
    (tmp_path / "installed" / "space").mkdir(parents=True)
    (tmp_path / "installed" / "space" / "other.py").write_text("B = 'installed'\n")
    path = f"sys.path.append({str(tmp_path / 'installed')!r})"
    assert app.run("import space.own, space.other; print(space.own.A, space.other.B)", before=path) == [
        "taken installed"
    ]


def test_the_order_of_the_import_path_decides_as_ever(app: PinnedApp, tmp_path: Path) -> None:
    app.take({"same.py": "A = 'application'\n"})
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed" / "same.py").write_text("A = 'installed'\n")
    path = f"sys.path.insert(0, {str(tmp_path / 'installed')!r})"
    assert app.run("import same; print(same.A)", before=path) == ["installed"]


def test_modules_that_are_imported_already_stay(app: PinnedApp) -> None:
    app.take({"early.py": "A = 1\n", "json.py": "raise RuntimeError\n"})
    before = "import early, json\n"
    app.write({"json.py": ""})
    assert app.run("import early, json; print(early.A)", before=before) == ["1"]


def test_compiled_modules_are_loaded_from_disk(app: PinnedApp) -> None:
    app.take({"shop/__init__.py": ""})
    found = importlib.util.find_spec("setproctitle._setproctitle")
    assert found is not None
    assert found.origin is not None
    built = app.folder / "shop" / Path(found.origin).name
    shutil.copy(found.origin, built)
    assert app.run("""
        import pkgutil, shop._setproctitle as native
        print(native.__file__, [m.name for m in pkgutil.iter_modules([str(app / 'shop')])])
    """) == [f"{built} ['_setproctitle']"]


@pytest.mark.parametrize(
    ("site", "mark"),
    [(".venv/lib", "x"), ("env/lib", "env/pyvenv.cfg"), ("env/lib", "env/lib/pyvenv.cfg"), ("site-packages", "x")],
)
def test_an_environment_below_the_application_is_not_the_applications(app: PinnedApp, site: str, mark: str) -> None:
    app.take({"main.py": ""})
    app.write({f"{site}/installed.py": "A = 'installed'\n", mark: ""})
    path = f"sys.path.append(str(app / {site!r}))"
    assert app.run("import installed; print(installed.A)", before=path) == ["installed"]


def test_a_link_to_the_application_may_be_led_elsewhere(app: PinnedApp, tmp_path: Path) -> None:
    app.take(SHOP)
    current = tmp_path / "current"
    current.symlink_to(app.folder)
    (tmp_path / "next" / "shop").mkdir(parents=True)
    (tmp_path / "next" / "shop" / "late.py").write_text("WHICH = 'edited'\n")
    assert app.run(
        f"""
        import os, shop
        os.unlink({str(current)!r}); os.symlink({str(tmp_path / "next")!r}, {str(current)!r})
        import shop.late
        print(shop.late.WHICH, shop.late.__file__)
        """,
        folder=current,
    ) == [f"taken {current}/shop/late.py"]


def test_other_content_takes_another_process(app: PinnedApp) -> None:
    app.take(SHOP)
    first = app.digest
    app.take({"more.py": ""})
    failed = app.attempt(f"pin_application(Path({str(app.store)!r}), app, {first!r}, '')")
    assert f"imports the application from content {app.digest[:12]}, and content {first[:12]}" in failed.stderr
    assert app.run(f"pin_application(Path({str(app.store)!r}), app, {app.digest!r}, ''); print('once')") == ["once"]


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_content_that_is_not_in_the_store_as_it_was_stored_is_named(app: PinnedApp, damage: str) -> None:
    app.take(SHOP)
    folder = app.store / app.digest
    for each in (folder, *(inner for inner in folder.rglob("*") if inner.is_dir())):
        each.chmod(0o755)
    if damage == "gone":
        shutil.rmtree(folder)
    else:
        (folder / "main.py").unlink()
        (folder / "main.py").write_text("A = 'changed'\n")
    failed = app.attempt("import main")
    assert f"CorruptArtifact: artifact {app.digest[:12]} in the store" in failed.stderr
