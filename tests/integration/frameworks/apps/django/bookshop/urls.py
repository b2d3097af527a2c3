"""Where everything is."""

from django.urls import path, re_path
from django.views.static import serve
from shelf import views
from shelf.views import FILES

urlpatterns = [
    path("", views.hello),
    path("version", views.version),
    path("items/<int:number>", views.item, name="item"),
    path("items", views.add),
    path("form", views.form),
    path("upload", views.upload),
    path("cookie", views.cookie),
    path("old", views.old),
    path("stream", views.stream),
    path("events", views.events),
    path("file", views.file),
    path("large", views.large),
    path("visits", views.visits),
    path("broken", views.broken),
    path("me", views.me),
    path("where", views.where),
    path("books", views.books),
    re_path("^static/(?P<path>.*)$", serve, {"document_root": FILES}),
]
