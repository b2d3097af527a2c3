"""HTTP/1.1 on a connection that can always name its unread bytes."""
