"""The recipes for registries of the process leave nothing behind; without them something would be left."""

import codecs
import logging
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, generate_latest
from sqlalchemy import MetaData

from changeover.testing import SimulatedWorker
from changeover.workers.generation.solo import Stored, store_plugin
from changeover.workers.plugins.taken import advised
from tests.bench import Bench

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "registries.md").read_text()
SHARED = MetaData()
"""As of an installed package whose tables everybody adds to."""
RECIPES = dict(re.findall(r"^```python (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A workshop on this thread, which is the main one, as in a worker."""
    return Bench(tmp_path)


def version(bench: Bench, name: str, number: int, text: str = "") -> Stored:
    """A content of a recipe."""
    file = bench.folder / name
    file.write_text(f"{text or RECIPES[name]}\n# {number}\n")
    return store_plugin(file, bench.store, {})


async def swapped(bench: Bench, name: str, text: str = "") -> None:
    """Serve a recipe, change it three times, and then take it away."""
    for number in range(1, 5):
        await bench.serve(number, version(bench, name, number, text))
        await bench.retire()
    await bench.serve(5)
    await bench.retire()


def handlers() -> dict[str, object]:
    """What is on the lists that the recipes are about."""
    return {
        "signal": signal.getsignal(signal.SIGUSR1),
        "logging": list(logging.getLogger().handlers),
        "metrics": list(REGISTRY._collector_to_names),
    }


@pytest.mark.parametrize("name", RECIPES)
async def test_three_swaps_leave_nothing_of_a_recipe(bench: Bench, name: str) -> None:
    before = handlers()
    await swapped(bench, name)
    assert bench.degraded == []
    assert bench.workshop.leaks() == []
    assert handlers() == before
    with pytest.raises(LookupError):
        codecs.lookup("shop_names")
    await bench.workshop.close()


@pytest.mark.slow
def test_every_recipe_passes_the_type_checker(tmp_path: Path) -> None:
    for name, text in RECIPES.items():
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(ROOT / ".mypy_cache"), "."]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_other_errors_are_told_as_they_are() -> None:
    assert advised("ValueError: Table x") == "ValueError: Table x"


def test_there_is_a_recipe_for_each_kind() -> None:
    assert set(RECIPES) == {"exits.py", "logs.py", "names.py", "metrics.py", "orders.py"}


@pytest.mark.parametrize("name", ["logs.py", "names.py", "metrics.py"])
async def test_without_the_taking_back_something_is_left(bench: Bench, name: str) -> None:
    text = re.sub(r"    def on_deactivate\(self\).*?(?=\n    @|\n\n\n|\Z)", "", RECIPES[name], flags=re.DOTALL)
    assert "on_deactivate" not in text
    with pytest.MonkeyPatch.context() as patch:
        kept = _Kept(patch)
        await swapped(bench, name, text)
        assert bench.workshop.leaks() or bench.degraded
        kept.put_back()
    await bench.workshop.close()


class _Kept:
    """Remembers the lists, to put them back as they were."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._searches: list[object] = []
        self._handlers = list(logging.getLogger().handlers)
        self._collectors = set(REGISTRY._collector_to_names)
        register = codecs.register

        def remembering(search: object) -> None:
            self._searches.append(search)
            register(search)  # type: ignore[arg-type]

        patch.setattr(codecs, "register", remembering)

    def put_back(self) -> None:
        for search in self._searches:
            codecs.unregister(search)  # type: ignore[arg-type]
        for handler in set(logging.getLogger().handlers) - set(self._handlers):
            logging.getLogger().removeHandler(handler)
        for collector in set(REGISTRY._collector_to_names) - self._collectors:
            REGISTRY.unregister(collector)


async def test_what_is_registered_does_its_work_while_it_serves(bench: Bench) -> None:
    for number, name in enumerate(("names.py", "logs.py", "exits.py"), start=1):
        await bench.serve(number, version(bench, name, number))
        if name == "names.py":
            assert "Tea".encode("shop_names") == b"TEA"
        elif name == "logs.py":
            [counting] = [each for each in logging.getLogger().handlers if type(each).__name__ == "Counting"]
            logging.getLogger("somebody").error("no")
            assert counting.errors == 1  # type: ignore[attr-defined]
        else:
            assert callable(signal.getsignal(signal.SIGUSR1))
    await bench.workshop.close()


def test_metrics_are_collected_with_those_of_the_process(tmp_path: Path) -> None:
    file = tmp_path / "metrics.py"
    file.write_text(RECIPES["metrics.py"])
    with SimulatedWorker(file) as worker:
        worker.get("/quote")
        worker.get("/quote")
        assert b"shop_quotes_total 2.0" in generate_latest()
        file.write_text(RECIPES["metrics.py"] + "# 2")
        worker.swap(file)
        worker.get("/quote")
        assert b"shop_quotes_total 1.0" in generate_latest()
    assert b"shop_quotes" not in generate_latest()


def test_orders_are_written_while_versions_change(tmp_path: Path) -> None:
    file = tmp_path / "orders.py"
    file.write_text(RECIPES["orders.py"])
    with SimulatedWorker(file) as worker:
        for number in range(4):
            assert [worker.get("/order").text for _ in range(2)] == ["1 orders", "2 orders"]
            file.write_text(RECIPES["orders.py"] + f"# {number}")
            worker.swap(file)
        assert worker.leaks() == []


TAKEN = {
    "prometheus": (
        "from prometheus_client import Counter\nCounter('taken_quotes', 'Asked for')\n",
        "Duplicated timeseries",
        "a CollectorRegistry of its own",
    ),
    "sqlalchemy": (
        "import sqlalchemy\nfrom tests.unit.workers.plugins.test_registries import SHARED\n"
        "sqlalchemy.Table('taken', SHARED, sqlalchemy.Column('id', sqlalchemy.Integer))\n",
        "Table 'taken' is already defined",
        "a MetaData or DeclarativeBase of its own",
    ),
}


@pytest.mark.parametrize("library", TAKEN)
async def test_a_name_that_is_taken_is_refused_with_what_to_do(bench: Bench, library: str) -> None:
    code, said, advice = TAKEN[library]
    await bench.serve(1, bench.plugin(code + "class Own(Plugin[None]): ...\n"))
    refusal = await bench.refused(2, bench.plugin(code + "class Own(Plugin[None]): ... # 2\n"))
    assert said in refusal.summary
    assert f"{advice} (docs/registries.md)" in refusal.summary
    for collector in [each for each, names in REGISTRY._collector_to_names.items() if "taken_quotes" in names]:
        REGISTRY.unregister(collector)
    await bench.workshop.close()


DJANGO = """
import sys
from pathlib import Path
import django
from django.conf import settings
from changeover.testing import SimulatedWorker, SwapRefused
settings.configure()
django.setup()
file = Path(sys.argv[1])
with SimulatedWorker(file) as worker:
    file.write_text(file.read_text() + "# 2")
    try:
        worker.swap(file)
    except SwapRefused as refused:
        print(refused.refusal.summary)
    print(worker.get("/quotes").text)
"""
MODELS = """
# /// script
# [tool.changeover]
# id = "quotes"
# version = "1.0.0"
# services = { quotes = { mount = "/quotes" } }
# ///
from changeover.plugin import CallContext, Request, Response, service
from django.db import models

class Quote(models.Model):
    class Meta:
        app_label = "quotes"

@service
def quotes(request: Request, call: CallContext) -> Response:
    return Response.text(Quote._meta.db_table)
"""


def test_django_models_are_refused_in_a_swap_with_the_reason_and_the_old_version_serves_on(tmp_path: Path) -> None:
    file = tmp_path / "quotes.py"
    file.write_text(MODELS)
    command = [sys.executable, "-c", DJANGO, str(file)]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    summary, answer = run.stdout.splitlines()
    assert summary.startswith("RuntimeError: Conflicting 'quote' models in application 'quotes'")
    assert "Django keeps models for as long as the process lives" in summary
    assert 'write `strategy = "roll"` into the manifest' in summary
    assert answer == "quotes_quote"
