"""What is new in every version: the number is replaced before each roll."""

VERSION = 100000
