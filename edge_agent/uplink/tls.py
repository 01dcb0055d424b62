"""TLS towards the broker: who it is, and who we are."""

import ssl
from typing import Final

from edge_agent.settings import Broker

VERSION_MIN: Final = ssl.TLSVersion.TLSv1_2


def client_context(broker: Broker) -> ssl.SSLContext:
    """Believe ``ca_file``, else the system's authorities; check the broker's name; show our certificate if we have one.

    Files are read each time, so a renewed certificate serves the next connection. Raises OSError, of which
    ssl.SSLError is one.
    """
    context = ssl.create_default_context(cafile=None if broker.ca_file is None else str(broker.ca_file))
    context.minimum_version = VERSION_MIN
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    if broker.cert_file is not None and broker.key_file is not None:
        # Without a password OpenSSL would ask the terminal for that of a protected key.
        context.load_cert_chain(broker.cert_file, broker.key_file, password="")
    return context


def describe(error: OSError) -> str:
    """One line about an error of the network or of TLS, without OpenSSL's source lines."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the broker's certificate is not to be trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLEOFError):
        return "TLS: the broker hung up in the middle"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(error.reason or str(error)).lower().replace('_', ' ')}"
    return error.strerror or str(error)


def is_refusal(error: OSError | None) -> bool:
    """Whether TLS itself says no; a connection that merely ends in the middle may be a broker that stops."""
    return isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)
