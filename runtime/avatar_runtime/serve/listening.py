"""The sockets that a server listens on, opened here or handed over by systemd."""

import os
import socket

from avatar_runtime.errors import InputError

_FIRST = 3
"""The first handle that systemd hands over, see sd_listen_fds(3)."""


def listen(host: str, port: int, count: int) -> list[socket.socket]:
    """Sockets that listen on an address, one for each of count processes.

    Several share the port by SO_REUSEPORT: the system divides the connections among them. From one socket, whichever
    process wakes first takes all that wait.

    Raises:
        InputError: Nothing can listen there. uvicorn itself would end with status 3 and two lines of its log.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        first = socket.create_server((host, port), family=family, backlog=2048)
        if count == 1:
            return [first]
        port = first.getsockname()[1]
        first.close()  # it was to see whether the port is free: with SO_REUSEPORT another server may have it, too
        return [socket.create_server((host, port), family=family, backlog=2048, reuse_port=True) for _ in range(count)]
    except (OSError, UnicodeError, ValueError) as err:
        # create_server repeats the address in strerror, and getaddrinfo has numbers of its own.
        known = isinstance(err, OSError) and not isinstance(err, socket.gaierror) and err.errno
        reason = os.strerror(known) if known else getattr(err, "strerror", None) or err
        raise InputError(f"cannot listen on {host}, port {port}: {reason}; choose another --host or --port") from err


def inherited() -> list[socket.socket]:
    """The sockets that systemd opened for this process; none if it was not started by a socket unit."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = int(os.environ.get("LISTEN_FDS", "0"))
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    return [socket.socket(fileno=handle) for handle in range(_FIRST, _FIRST + count)]


def notify(state: str) -> None:
    """Tell systemd how the service is, if it asks: see sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
            connection.connect(address.replace("@", "\0", 1) if address.startswith("@") else address)
            connection.sendall(state.encode())
