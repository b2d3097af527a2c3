"""Settings of the book shop under ASGI."""

from bookshop.settings import *  # noqa: F403

ROOT_URLCONF = "bookshop.async_urls"
