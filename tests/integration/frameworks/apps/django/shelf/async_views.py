"""Views that let others go on while they wait."""

import asyncio

from django.http import JsonResponse, StreamingHttpResponse

from shelf.models import Book
from shelf.views import NOTES


async def stream(request):
    async def pieces():
        for number in range(5):
            yield f"{number}\n"
            await asyncio.sleep(0)

    return StreamingHttpResponse(pieces(), content_type="text/plain")


async def events(request):
    async def pieces():
        try:
            for number in range(3):
                yield f"data: {number}\n\n"
            await asyncio.Event().wait()
        finally:
            (NOTES / "left").touch()

    return StreamingHttpResponse(pieces(), content_type="text/event-stream")


async def books(request):
    if request.method == "POST":
        await Book.objects.acreate(title=request.POST["title"])
    return JsonResponse([book.title async for book in Book.objects.order_by("id")], safe=False)
