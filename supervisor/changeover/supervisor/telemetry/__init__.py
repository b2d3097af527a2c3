"""What operators hear: typed records, worded in one place, logged, counted and streamed."""
