"""HTTP/2 on a channel, with the library `h2`, which is imported when it is first needed."""
