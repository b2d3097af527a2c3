"""Views that wait for what they do."""

import json
import os
import uuid
from pathlib import Path

from django.db import transaction
from django.http import FileResponse, HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.urls import reverse

from shelf.models import Book

VERSION = "1"
INSTANCE = uuid.uuid4().hex
FILES = Path(__file__).resolve().parent.parent / "files"
NOTES = Path(os.environ["SHOP_NOTES"])


def hello(request):
    return HttpResponse("hello")


def version(request):
    return HttpResponse(f"{VERSION} {INSTANCE} {os.getpid()}")


def item(request, number):
    return JsonResponse({"number": number, "q": request.GET.getlist("q")})


def add(request):
    return JsonResponse(json.loads(request.body), status=201)


def form(request):
    return JsonResponse({"name": request.POST["name"]})


def upload(request):
    file = request.FILES["file"]
    return JsonResponse({"title": request.POST["title"], "file": file.name, "size": len(file.read())})


def cookie(request):
    response = JsonResponse({"flavour": request.COOKIES.get("flavour")})
    response.set_cookie("flavour", "oat", httponly=True)
    response.set_cookie("shape", "round")
    return response


def old(request):
    return HttpResponseRedirect(reverse("item", args=[1]), preserve_request=True)


def stream(request):
    return StreamingHttpResponse((f"{number}\n" for number in range(5)), content_type="text/plain")


def events(request):
    def pieces():
        try:
            for number in range(3):
                yield f"data: {number}\n\n"
            while True:
                yield ": still here\n\n"
        finally:
            (NOTES / "left").touch()

    return StreamingHttpResponse(pieces(), content_type="text/event-stream")


def file(request):
    return FileResponse((FILES / "book.txt").open("rb"))


def large(request):
    return HttpResponse("x" * 5000)


def visits(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JsonResponse(request.session["visits"], safe=False)


def broken(request):
    raise RuntimeError("secret")


def me(request):
    client = [request.META["REMOTE_ADDR"], int(request.META["REMOTE_PORT"])]
    return JsonResponse({"client": client, "host": request.get_host().partition(":")[0], "scheme": request.scheme})


def where(request):
    return HttpResponse(request.build_absolute_uri(reverse("item", args=[1])))


def books(request):
    if request.method == "POST":
        with transaction.atomic():
            Book.objects.create(title=request.POST["title"])
    return JsonResponse(list(Book.objects.order_by("id").values_list("title", flat=True)), safe=False)
