"""A FastAPI application of the usual kind: what preloading shares is mostly FastAPI and pydantic."""
