"""Errors that a person reads: each message says what is wrong and what to do about it."""


class TriageError(Exception):
    """Base of the errors this package raises on purpose."""

    exit_code = 6


class UsageError(TriageError):
    """The caller asked for something that cannot be done as asked; nothing was started."""

    exit_code = 2


class UnknownSignalError(LookupError):
    """The code asks for a signal that no catalogue lists: a mistake in the program.

    No TriageError, and none of the errors that damaged evidence raises: nothing may swallow it.
    """


class InfraError(TriageError):
    """The machine, the engine or the stack did not do its part."""

    exit_code = 6
