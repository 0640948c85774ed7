"""What can go wrong for a reason that a person can act on."""


class ReplayError(Exception):
    """The recording or the request cannot be used; the message says why."""
