"""The data plane: what runs inside a worker process. It never imports the supervisor."""
