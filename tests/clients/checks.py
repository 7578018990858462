"""What the scripts of this folder share: how a check fails, and how the checks are counted."""

import sys
import traceback

if sys.version_info < (3, 11):
    try:
        from exceptiongroup import BaseExceptionGroup
    except ImportError:  # Then nobody raises one either.
        BaseExceptionGroup = ()


class Check(Exception):
    """What was expected and what came instead."""


def expect(condition, message):
    if not condition:
        raise Check(message)


def equal(what, found, expected):
    expect(found == expected, f"{what}: expected {shorten(expected)}, found {shorten(found)}")


def shorten(value, chars_max=200):
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= chars_max else f"{text[:chars_max]}… ({len(text)} characters)"


def innermost(error):
    """The one error that a nest of groups is about."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def reason(error):
    error = innermost(error)
    text = str(error) or type(error).__name__
    if not isinstance(error, Check):
        text = f"{type(error).__name__}: {text}"
    return shorten(text, 400).replace("\n", " ")


class Tally:
    """One line per check, and how many there were of each kind."""

    def __init__(self, verbose=False):
        self.verbose = verbose
        self.passed = 0
        self.failed = 0

    def ok(self, label):
        self.passed += 1
        print(f"ok   {label}", flush=True)

    def fail(self, label, error):
        self.failed += 1
        print(f"FAIL {label}: {reason(error)}", flush=True)
        if self.verbose:
            traceback.print_exception(type(error), error, error.__traceback__)

    def close(self):
        """Prints the last line; the exit code."""
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed or not self.passed else 0
