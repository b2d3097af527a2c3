"""The servers that are measured against each other, each with one worker and without an access log.

Some are no servers, but floors: how little an answer in Python takes on uvloop.
"""

from benchmarks.servers import Command

CHANGEOVER = Command(
    "changeover",
    (
        *("changeover", "run", "{app}", "-b", "127.0.0.1:{port}", "-w", "1", "--keep-alive", "75"),
        *("--state-dir", "../state", "--runtime-dir", "../run", "--log-format", "text"),
    ),
)
CHANGEOVER_NATIVE = Command(
    "changeover, three handlers and a service",
    (
        *(
            "changeover",
            "run",
            "--plugins",
            "{package}/plugins",
            "-b",
            "127.0.0.1:{port}",
            "-w",
            "1",
            "--keep-alive",
            "75",
        ),
        *("--state-dir", "../state", "--runtime-dir", "../run", "--log-format", "text"),
    ),
)
CHANGEOVER_WSGI = Command(
    "changeover, WSGI", tuple("{package}.wsgi:app" if w == "{app}" else w for w in CHANGEOVER.words)
)
UVICORN = Command(
    "uvicorn",
    (
        *("uvicorn", "{app}", "--host", "127.0.0.1", "--port", "{port}", "--loop", "uvloop", "--http", "httptools"),
        *("--no-access-log", "--log-level", "warning", "--timeout-keep-alive", "75"),
    ),
)
_GRANIAN = ("--host", "127.0.0.1", "--port", "{port}", "--workers", "1", "--loop", "uvloop", "--no-access-log")
GRANIAN = Command("granian, ASGI", ("granian", "{app}", *_GRANIAN, "--interface", "asgi"))
GRANIAN_RSGI = Command("granian, RSGI", ("granian", "{package}.rsgi:app", *_GRANIAN, "--interface", "rsgi"))
GRANIAN_WSGI = Command(
    "granian, WSGI",
    ("granian", "{package}.wsgi:app", *_GRANIAN, "--interface", "wsgi", "--blocking-threads", "4"),
)
_GUNICORN = (
    "-b",
    "127.0.0.1:{port}",
    "-w",
    "1",
    "--keep-alive",
    "75",
    "--no-control-socket",
    "--worker-connections",
    "10000",
)
GUNICORN = Command("gunicorn, asgi worker", ("gunicorn", "{app}", *_GUNICORN, "-k", "asgi"))
GUNICORN_THREADS = Command(
    "gunicorn, gthread worker", ("gunicorn", "{package}.wsgi:app", *_GUNICORN, "-k", "gthread", "--threads", "4")
)
HYPERCORN = Command(
    "hypercorn",
    ("hypercorn", "{app}", "-b", "127.0.0.1:{port}", "-w", "1", "-k", "uvloop", "--keep-alive", "75"),
)

BARE = Command(
    "floor, bare loop",
    ("python", "-m", "{package}.floor", "bare", "{port}"),
)
CYCLE = Command(
    "floor, smallest ASGI cycle",
    ("python", "-m", "{package}.floor", "cycle", "{port}"),
)
LEASED = Command(
    "floor, ASGI cycle with leases",
    ("python", "-m", "{package}.floor_leased", "{port}"),
)
PIPELINE = Command(
    "floor, smallest pipeline",
    ("python", "-m", "{package}.floor_pipeline", "{port}"),
)
HOP = Command(
    "floor, smallest hop to a thread",
    ("python", "-m", "{package}.floor_wsgi", "{port}"),
)
