"""Everything the supervisor decides: pure, `handle(event, now) -> effects`."""
