"""The exceptions that PolyFact raises deliberately. Any other exception that reaches the user is a bug."""

from __future__ import annotations


class PolyFactError(Exception):
    """Base of all expected errors. The message names the file, line or id, and how to fix it.

    `exit_code` is what the command line returns: 1 for data, 2 for usage.
    """

    exit_code = 1


class ConfigError(PolyFactError):
    """A setting, flag or data file of the package is wrong: the user must change it."""

    exit_code = 2


class DataError(PolyFactError):
    """An input or an intermediate table cannot be used as it is."""


class RetryableError(PolyFactError):
    """Something outside failed (a server, a full disk): the same command may succeed later."""
