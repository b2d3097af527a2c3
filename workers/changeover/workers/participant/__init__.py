"""The worker's side of a cutover, pure: `handle(event, now) -> effects`."""
