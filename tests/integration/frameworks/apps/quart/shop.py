"""A shop in Quart."""

import asyncio
import os
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

from quart import (
    Quart,
    Response,
    current_app,
    g,
    jsonify,
    make_response,
    redirect,
    request,
    send_file,
    session,
    url_for,
    websocket,
)
from quart.typing import ResponseReturnValue

VERSION = "1"
INSTANCE = uuid.uuid4().hex
FILES = Path(__file__).parent / "files"
NOTES = Path(os.environ["SHOP_NOTES"])

app = Quart(__name__, static_folder=str(FILES), static_url_path="/static")
app.secret_key = "of a test"


@app.while_serving
async def lifespan() -> AsyncGenerator[None, None]:
    app.config["OPENED"] = "by the lifespan"
    yield
    (NOTES / f"ended-{os.getpid()}").touch()


@app.teardown_request
async def clean(error: BaseException | None) -> None:
    if "opened" in g:
        (NOTES / "cleaned").touch()


@app.get("/")
async def hello() -> str:
    return "hello"


@app.get("/version")
async def version() -> str:
    return f"{VERSION} {INSTANCE} {os.getpid()}"


@app.get("/opened")
async def opened() -> str:
    return str(current_app.config["OPENED"])


@app.get("/items/<int:number>")
async def item(number: int) -> dict[str, Any]:
    return {"number": number, "q": request.args.getlist("q")}


@app.post("/items")
async def add() -> ResponseReturnValue:
    return await request.get_json(), 201


@app.post("/form")
async def form() -> dict[str, str]:
    return {"name": (await request.form)["name"]}


@app.post("/upload")
async def upload() -> dict[str, Any]:
    file = (await request.files)["file"]
    return {"title": (await request.form)["title"], "file": file.filename, "size": len(file.read())}


@app.get("/cookie")
async def cookie() -> ResponseReturnValue:
    response = await make_response({"flavour": request.cookies.get("flavour")})
    response.set_cookie("flavour", "oat", httponly=True)
    response.set_cookie("shape", "round")
    return response


@app.get("/old")
async def old() -> ResponseReturnValue:
    return redirect(url_for("item", number=1), 307)


@app.get("/stream")
async def stream() -> ResponseReturnValue:
    async def pieces() -> AsyncIterator[str]:
        for number in range(5):
            yield f"{number}\n"
            await asyncio.sleep(0)

    return Response(pieces(), mimetype="text/plain")


@app.get("/events")
async def events() -> ResponseReturnValue:
    async def pieces() -> AsyncIterator[str]:
        try:
            for number in range(3):
                yield f"data: {number}\n\n"
            await asyncio.Event().wait()
        finally:
            (NOTES / "left").touch()

    response = Response(pieces(), mimetype="text/event-stream")
    response.timeout = None
    return response


@app.get("/file")
async def file() -> ResponseReturnValue:
    return await send_file(FILES / "book.txt")


@app.post("/later")
async def later() -> str:
    app.add_background_task((NOTES / "later").touch)
    return "at once"


@app.get("/visits")
async def visits() -> ResponseReturnValue:
    session["visits"] = session.get("visits", 0) + 1
    return jsonify(session["visits"])


@app.get("/broken")
async def broken() -> str:
    raise RuntimeError("secret")


@app.get("/cleanup")
async def cleanup() -> str:
    g.opened = "open"
    return str(g.opened)


@app.get("/me")
async def me() -> dict[str, Any]:
    address, _, port = (request.remote_addr or "").rpartition(":")
    return {"client": [address or port, None], "host": request.host.partition(":")[0], "scheme": request.scheme}


@app.get("/where")
async def where() -> str:
    return url_for("item", number=1, _external=True)


@app.websocket("/ws")
async def echo() -> None:
    await websocket.accept(subprotocol="echo" if "echo" in websocket.requested_subprotocols else None)
    try:
        while True:
            message = await websocket.receive()
            if message == "bye":
                await websocket.close(4001, "bye then")
                return
            await websocket.send(message)
    except asyncio.CancelledError:
        (NOTES / "closed-1000").touch()
        raise


@app.websocket("/refused")
async def refuse() -> ResponseReturnValue:
    return "not you", 403
