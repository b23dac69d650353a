"""What a check says."""

from enum import StrEnum

import msgspec

__all__ = ["Finding", "Verdict", "fail", "ok", "warn"]


class Verdict(StrEnum):
    """How it is."""

    OK = "ok"
    WARN = "warn"
    """It works, and not as well as it could."""
    FAIL = "fail"
    """It does not work, or must not be relied on."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One check's word."""

    check: str
    verdict: Verdict
    reason: str
    """What was found, and where it matters what was expected."""
    remedy: str = ""
    """What mends it; "" where nothing is to be mended."""
    source: str = ""
    """The source whose exchange or way to it is looked at; "" is this host and its release."""


def ok(check: str, reason: str) -> Finding:
    """Return a finding that nothing is to be done about."""
    return Finding(check=check, verdict=Verdict.OK, reason=reason)


def warn(check: str, reason: str, remedy: str) -> Finding:
    """Return a finding that costs speed or safety."""
    return Finding(check=check, verdict=Verdict.WARN, reason=reason, remedy=remedy)


def fail(check: str, reason: str, remedy: str) -> Finding:
    """Return a finding that must be mended."""
    return Finding(check=check, verdict=Verdict.FAIL, reason=reason, remedy=remedy)
