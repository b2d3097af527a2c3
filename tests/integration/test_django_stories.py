"""A Django project with SQLite, served as it is: its code is pinned, its data stays where it lies."""

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from changeover.server import Committed, NeedsRoll, Server, Strategy
from tests.integration.test_pinned_stories import killed
from tests.service import Story

PROJECT = {
    "manage.py": """
        import os, sys
        from django.core.management import execute_from_command_line
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bookshop.settings")
        execute_from_command_line(sys.argv)
    """,
    "bookshop/__init__.py": "",
    "bookshop/settings.py": """
        from pathlib import Path
        BASE_DIR = Path(__file__).resolve().parent.parent
        SECRET_KEY = "of a test"
        ALLOWED_HOSTS = ["*"]
        DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
        INSTALLED_APPS = ["shelf"]
        ROOT_URLCONF = "bookshop.urls"
        TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
        DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}
    """,
    "bookshop/urls.py": """
        from django.urls import include, path
        urlpatterns = [path("", include("shelf.urls"))]
    """,
    "bookshop/asgi.py": """
        import os
        from django.core.asgi import get_asgi_application
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bookshop.settings")
        application = get_asgi_application()
    """,
    "shelf/__init__.py": "",
    "shelf/models.py": """
        from django.db import models
        class Book(models.Model):
            title = models.CharField(max_length=99)
    """,
    "shelf/migrations/__init__.py": "",
    "shelf/migrations/0001_initial.py": """
        from django.db import migrations, models
        class Migration(migrations.Migration):
            initial = True
            operations = [migrations.CreateModel("Book", [
                ("id", models.BigAutoField(primary_key=True)),
                ("title", models.CharField(max_length=99)),
            ])]
    """,
    "shelf/management/commands/count.py": """
        from django.core.management.base import BaseCommand
        from shelf.models import Book
        class Command(BaseCommand):
            def handle(self, *args, **options):
                return str(Book.objects.count())
    """,
    "shelf/urls.py": """
        from django.urls import path
        from shelf import views
        urlpatterns = [path("add/<title>", views.add), path("books", views.books), path("found", views.found)]
    """,
    "shelf/views.py": """
        from io import StringIO
        from django.core.management import call_command, get_commands
        from django.db import connection
        from django.db.migrations.loader import MigrationLoader
        from django.http import HttpResponse, JsonResponse
        from django.shortcuts import render
        from shelf.models import Book

        def add(request, title):
            Book.objects.create(title=title)
            return HttpResponse("added by the committed code")

        async def books(request):
            titles = [book.title async for book in Book.objects.order_by("id")]
            return render(request, "shelf/books.html", {"titles": titles})

        def found(request):
            counted = call_command("count", stdout=StringIO()) if "count" in get_commands() else "none"
            migrations = sorted(name for _, name in MigrationLoader(connection).disk_migrations)
            return JsonResponse({"migrations": migrations, "count": counted})
    """,
    "shelf/templates/shelf/books.html": "On the shelf: {% for title in titles %}{{ title }}. {% endfor %}",
}


@pytest.fixture
def project(story: Story) -> Path:
    """A project whose database was made by its own command."""
    for name, text in PROJECT.items():
        file = story.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text).strip() + "\n")
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
    subprocess.run(command, cwd=story.folder, env=environment, check=True, timeout=60)
    return story.folder


async def read(story: Story, server: Server, path: str) -> str:
    answer = await story.get(server, path)
    assert answer.status == 200, server.logs
    return answer.body.strip()


def edit(project: Path, file: str, old: str, new: str) -> None:
    text = (project / file).read_text()
    assert old in text
    (project / file).write_text(text.replace(old, new))


async def test_a_project_serves_its_committed_code_while_its_files_are_edited(story: Story, project: Path) -> None:
    async with story.server(1, app="bookshop.asgi:application") as server:
        assert await read(story, server, "/add/Emma") == "added by the committed code"
        edit(project, "shelf/views.py", "committed", "edited")
        edit(project, "shelf/models.py", "title =", "name =")
        edit(project, "shelf/templates/shelf/books.html", "On the shelf", "Here are")
        (project / "shelf" / "migrations" / "0002_name.py").write_text("raise RuntimeError('edited')\n")
        outcome = await server.reload(strategy=Strategy.SWAP)
        assert isinstance(outcome, NeedsRoll)
        files = "shelf/migrations/0002_name.py added, shelf/models.py, shelf/views.py"
        assert outcome.changed == (f"app: 3 files changed on disk: {files} (needs a roll)",)
        await killed(server)
        assert await read(story, server, "/add/Persuasion") == "added by the committed code"
        assert await read(story, server, "/books") == "Here are: Emma. Persuasion."
        assert await read(story, server, "/found") == '{"migrations": ["0001_initial"], "count": "2"}'
        assert (project / "db.sqlite3").is_file()


async def test_a_project_is_rolled_and_rolled_back_and_its_data_stays(story: Story, project: Path) -> None:
    async with story.server(2, app="bookshop.asgi:application") as server:
        connection = await story.connect(server)

        async def asked(path: str) -> str:
            answer = await connection.get(path)
            assert answer.status == 200, server.logs
            return answer.body.strip()

        assert await asked("/add/Emma") == "added by the committed code"
        edit(project, "shelf/views.py", "committed", "edited")
        assert isinstance(await server.reload(), Committed)
        assert await asked("/add/Persuasion") == "added by the edited code"
        back = await server.rollback()
        assert isinstance(back, Committed)
        [left_out] = [line for line in back.summary if line.startswith("not taken: data, installed packages")]
        assert "a rollback leaves them as they are" in left_out
        assert await asked("/add/Sanditon") == "added by the committed code"
        assert await asked("/books") == "On the shelf: Emma. Persuasion. Sanditon."
        assert "edited" in (project / "shelf" / "views.py").read_text()


async def test_a_plugin_is_swapped_beside_a_project(story: Story, project: Path) -> None:
    story.write("1.0")
    async with story.server(2, app="bookshop.asgi:application") as server:
        await read(story, server, "/add/Emma")
        story.write("2.0")
        assert isinstance(await server.reload(), Committed)
        assert (await story.get(server, "/shop")).words[0] == "2.0"
        assert await read(story, server, "/books") == "On the shelf: Emma."
