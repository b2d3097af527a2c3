"""The one base of every error that changeover raises on purpose."""


class ChangeoverError(Exception):
    """A fact that changeover ran into and can name.

    Subclasses are named for the fact, carry its fields, and word themselves so that a person
    reading only the message knows what happened, where, and what to do next.
    """
