"""A socket that is read and written by the buffer, for paho, which reads it by the byte and writes it by the packet.

Takes the place of paho's socket as its own wrapper for websockets does. Non-blocking; used by one thread.
"""

import contextlib
import socket
import ssl
from typing import Final

READ_BYTES: Final = 64 * 1024
WOULD_BLOCK: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class BufferedSocket:
    """``recv`` hands out what one read of the socket brought; ``send`` collects until ``flush``.

    ``error`` keeps what broke the connection: paho drops it, and with it the reason of a TLS peer that refuses us.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._received = b""
        self._at = 0
        self._unsent = bytearray()
        self.error: OSError | None = None
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def recv(self, buffer_size: int) -> bytes:
        """At most ``buffer_size`` bytes; b"" at the end. Raises OSError as the socket does."""
        if self._at == len(self._received):
            try:
                self._received, self._at = self._sock.recv(READ_BYTES), 0
            except WOULD_BLOCK:
                raise
            except OSError as error:
                self.error = error
                raise
        taken = self._received[self._at : self._at + buffer_size]
        self._at += len(taken)
        return taken

    def send(self, buffer: bytes | bytearray) -> int:
        """Take all of ``buffer``; it leaves with ``flush``."""
        self._unsent += buffer
        return len(buffer)

    def flush(self) -> None:
        """Send what the network takes now; ``unsent`` says how much it did not. Raises OSError."""
        try:
            while self._unsent:
                del self._unsent[: self._sock.send(self._unsent)]
        except WOULD_BLOCK:
            return
        except OSError as error:
            self.error = error
            raise

    @property
    def unsent(self) -> int:
        """Bytes that wait for the network."""
        return len(self._unsent)

    def pending(self) -> int:
        """Bytes that can be read though no ``select`` would tell: ours, and those that TLS has decrypted."""
        decrypted = self._sock.pending() if isinstance(self._sock, ssl.SSLSocket) else 0
        return len(self._received) - self._at + decrypted

    def fileno(self) -> int:
        """Descriptor, for ``select``."""
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - the signature of a socket
        """As the socket's."""
        self._sock.setblocking(flag)

    def close(self) -> None:
        """Send what can be sent without waiting, and close."""
        with contextlib.suppress(OSError):
            self.flush()
        self._sock.close()
