"""A Flask application that greets."""

from flask import Flask, Response

app = Flask(__name__)


@app.route("/")
@app.route("/fast")
def hello() -> Response:
    """Greet."""
    return Response(b"Hello, world!", content_type="text/plain")
