"""Where everything is, with what a server of ASGI can do better."""

from django.urls import path
from shelf import async_views

from bookshop import urls

urlpatterns = [
    path("stream", async_views.stream),
    path("events", async_views.events),
    path("books", async_views.books),
    *urls.urlpatterns,
]
