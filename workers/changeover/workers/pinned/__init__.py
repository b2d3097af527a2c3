"""The application's modules out of the generation's content, whatever lies on disk."""
