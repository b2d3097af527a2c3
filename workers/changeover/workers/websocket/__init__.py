"""WebSocket (RFC 6455) over a connection that HTTP/1.1 began."""
