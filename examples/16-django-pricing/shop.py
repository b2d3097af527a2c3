# mypy: disable-error-code="import-untyped"
"""A Django application in one file, under WSGI: its views run in threads, and ask plugins there."""

import time
from collections.abc import Iterator
from typing import Protocol

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

from changeover.plugin import extension_point

settings.configure(SECRET_KEY="of an example", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__)


class Price(Protocol):
    """What a plugin offers: the price of an item, and its own version."""

    def __call__(self, item: str) -> tuple[int, str]: ...


prices = extension_point("shop.pricing", Price)


def lines(items: list[str]) -> Iterator[dict[str, object]]:
    """Ask for each item anew; whatever is reloaded meanwhile, the answers are of one version."""
    for item in items:
        time.sleep(0.005)  # stands for a query to a database
        for price in prices():
            amount, version = price(item)
            yield {"item": item, "price": amount, "by": version}


def cart(request: HttpRequest) -> HttpResponse:
    return JsonResponse(list(lines(request.GET.getlist("items"))), safe=False)


def listed(request: HttpRequest) -> StreamingHttpResponse:
    """A stream, which asks for its last line when its first one is with the client already."""
    told = (f"{line['item']} {line['price']} {line['by']}\n" for line in lines(request.GET.getlist("items")))
    return StreamingHttpResponse(told, content_type="text/plain")


urlpatterns = [path("cart", cart), path("list", listed)]
application = get_wsgi_application()
