"""An ordinary Flask application: it runs in threads, and does not know that plugins beside it come and go."""

import threading

from flask import Flask, Response, jsonify, request

app = Flask(__name__)


@app.get("/")
def hello() -> Response:
    return jsonify(thread=threading.current_thread().name, seen=request.environ.get("changeover.extensions"))
