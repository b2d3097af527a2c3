"""What is new in every content: the number is replaced before each swap."""

MARKER = "v100000"
