"""The journal: decisions and outcomes on disk before anything acts on them, with who and why."""
