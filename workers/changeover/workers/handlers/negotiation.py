"""What a client would rather have, out of what there is. Pure."""

from collections.abc import Iterator, Sequence

from changeover.plugin import Response


def best_encoding(accept: str, offered: Sequence[str]) -> str:
    """The content encoding that a client likes best.

    Args:
        accept: Its Accept-Encoding.
        offered: What there is; of those that it likes alike the first.

    Returns:
        The encoding, empty for none.
    """
    likes = dict(_weighed(accept))
    plain = likes.get("identity", 0.0)
    weights = {name: likes.get(name, likes.get("*", 0.0)) for name in offered}
    best = max(offered, key=lambda name: weights[name], default="")
    return best if best and weights[best] > 0 and weights[best] >= plain else ""


def prefers_html(accept: str) -> bool:
    """Whether a client, by its Accept, would rather have a page than JSON; one that does not care would not."""
    likes = dict(_weighed(accept))
    html = likes.get("text/html", likes.get("text/*", 0.0))
    json = max(likes.get(name, 0.0) for name in ("application/problem+json", "application/json", "application/*"))
    return html > json


def add_vary(response: Response, *names: str) -> None:
    """Say that the response would be another if the request had other values in those fields."""
    there = [name.strip() for value in response.headers.all("vary") for name in value.split(",") if name.strip()]
    known = {name.lower() for name in there}
    if "*" not in known:
        response.headers["vary"] = ", ".join([*there, *(name for name in names if name.lower() not in known)])


def _weighed(written: str) -> Iterator[tuple[str, float]]:
    """Each alternative with its weight; one whose weight cannot be read counts as refused."""
    for alternative in written.split(","):
        name, *parameters = (part.strip().lower() for part in alternative.split(";"))
        weights = [part[2:] for part in parameters if part.startswith("q=")]
        if name:
            yield name, _weight(weights[0]) if weights else 1.0


def _weight(written: str) -> float:
    try:
        return min(1.0, max(0.0, float(written)))
    except ValueError:
        return 0.0
