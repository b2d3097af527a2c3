"""A shop in Flask."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flask import (
    Flask,
    Response,
    g,
    jsonify,
    make_response,
    redirect,
    request,
    send_file,
    session,
    stream_with_context,
    url_for,
)
from flask.typing import ResponseReturnValue

VERSION = "1"
INSTANCE = uuid.uuid4().hex
FILES = Path(__file__).parent / "files"
NOTES = Path(os.environ["SHOP_NOTES"])

app = Flask(__name__, static_folder=FILES, static_url_path="/static")
app.secret_key = "of a test"


@app.teardown_request
def clean(error: BaseException | None) -> None:
    if "opened" in g:
        (NOTES / "cleaned").touch()


@app.get("/")
def hello() -> str:
    return "hello"


@app.get("/version")
def version() -> str:
    return f"{VERSION} {INSTANCE} {os.getpid()}"


@app.get("/items/<int:number>")
def item(number: int) -> dict[str, Any]:
    return {"number": number, "q": request.args.getlist("q")}


@app.post("/items")
def add() -> ResponseReturnValue:
    return request.get_json(), 201


@app.post("/form")
def form() -> dict[str, str]:
    return {"name": request.form["name"]}


@app.post("/upload")
def upload() -> dict[str, Any]:
    file = request.files["file"]
    return {"title": request.form["title"], "file": file.filename, "size": len(file.read())}


@app.get("/cookie")
def cookie() -> ResponseReturnValue:
    response = make_response({"flavour": request.cookies.get("flavour")})
    response.set_cookie("flavour", "oat", httponly=True)
    response.set_cookie("shape", "round")
    return response


@app.get("/old")
def old() -> ResponseReturnValue:
    return redirect(url_for("item", number=1), 307)


@app.get("/stream")
def stream() -> ResponseReturnValue:
    def pieces() -> Iterator[str]:
        for number in range(5):
            yield f"{number}\n"

    return Response(stream_with_context(pieces()), mimetype="text/plain")


@app.get("/events")
def events() -> ResponseReturnValue:
    def pieces() -> Iterator[str]:
        try:
            for number in range(3):
                yield f"data: {number}\n\n"
            while True:
                yield ": still here\n\n"
        finally:
            (NOTES / "left").touch()

    return Response(pieces(), mimetype="text/event-stream")


@app.get("/file")
def file() -> ResponseReturnValue:
    return send_file(FILES / "book.txt")


@app.post("/later")
def later() -> ResponseReturnValue:
    response = make_response("at once")
    response.call_on_close((NOTES / "later").touch)
    return response


@app.get("/visits")
def visits() -> ResponseReturnValue:
    session["visits"] = session.get("visits", 0) + 1
    return jsonify(session["visits"])


@app.get("/broken")
def broken() -> str:
    raise RuntimeError("secret")


@app.get("/cleanup")
def cleanup() -> str:
    g.opened = "open"
    return str(g.opened)


@app.get("/me")
def me() -> dict[str, Any]:
    client = [request.remote_addr, int(request.environ["REMOTE_PORT"])]
    return {"client": client, "host": request.host.partition(":")[0], "scheme": request.scheme}


@app.get("/where")
def where() -> str:
    return url_for("item", number=1, _external=True)
