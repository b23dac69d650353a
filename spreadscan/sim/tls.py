"""Certificates for the simulated exchanges: a throw-away authority, made at every start.

Nobody trusts it but clients that are pointed at its file. On request the server shows a certificate
that a client must refuse instead. Private keys live in memory and, for the moment that OpenSSL
reads them, in a temporary file that ``trustme`` removes.
"""

import datetime as dt
import importlib
import ssl
from enum import StrEnum
from pathlib import Path
from typing import Any

from spreadscan.errors import SpreadscanError

__all__ = ["TlsFault", "server_context"]

HOSTS = ("127.0.0.1", "::1", "localhost")
ANOTHER_HOST = "exchange.invalid"


class TlsFault(StrEnum):
    """What is wrong with the server's certificate."""

    WRONG_HOST = "wrong-host"
    EXPIRED = "expired"
    SELF_SIGNED = "self-signed"


def server_context(ca_file: Path, fault: TlsFault | None = None) -> ssl.SSLContext:
    """Make an authority and a server certificate; write the authority's certificate to *ca_file*.

    Args:
        ca_file: replaced; its folder is made where it is absent.
        fault: what is wrong with the server's certificate; None for a good one.

    Returns:
        A context for servers on loopback, TLS 1.2 or newer.

    Raises:
        SpreadscanError: the file cannot be written, or the ``trustme`` package is not installed.
    """
    try:
        trustme = importlib.import_module("trustme")
    except ModuleNotFoundError:
        raise SpreadscanError("TLS needs the package trustme, the extra `tls`") from None
    authority = trustme.CA()
    try:
        ca_file.parent.mkdir(parents=True, exist_ok=True)
        authority.cert_pem.write_to_path(str(ca_file))
    except OSError as error:
        raise SpreadscanError(f"{ca_file}: cannot write: {error.strerror or error}") from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if fault is TlsFault.SELF_SIGNED:
        # An authority's own certificate is signed by itself.
        alone = trustme.CA()
        with alone.private_key_pem.tempfile() as key, alone.cert_pem.tempfile() as chain:
            context.load_cert_chain(chain, key)
        return context
    _certificate(authority, fault).configure_cert(context)
    return context


def _certificate(authority: Any, fault: TlsFault | None) -> Any:
    if fault is TlsFault.WRONG_HOST:
        return authority.issue_cert(ANOTHER_HOST)
    if fault is TlsFault.EXPIRED:
        yesterday = dt.datetime.now(tz=dt.UTC) - dt.timedelta(days=1)
        return authority.issue_cert(*HOSTS, not_after=yesterday)
    return authority.issue_cert(*HOSTS)
