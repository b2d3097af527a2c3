"""The ASGI application that is rolled: it answers as the load expects, under any server."""
