"""Taking changes without being asked: what is looked at, who is told of it, and when it is worth a cutover."""
