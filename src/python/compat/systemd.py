"""Socket activation and notification of systemd, for hooks that look after them by themselves.

The server does both without this module; what it has taken of the variables is gone from them.
"""

import os
import socket

SD_LISTEN_FDS_START = 3


def listen_fds(unset_environment=True):
    """How many sockets systemd has passed to this process (sd_listen_fds(3))."""
    count = int(os.environ.get("LISTEN_FDS", 0))
    if int(os.environ.get("LISTEN_PID", 0)) != os.getpid():
        return 0
    if unset_environment:
        os.environ.pop("LISTEN_PID", None)
        os.environ.pop("LISTEN_FDS", None)
    return count


def sd_notify(state, logger, unset_environment=False):
    """Tell systemd something (sd_notify(3)); nothing outside of a service that wants to know."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address is None:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.connect("\0" + address[1:] if address[0] == "@" else address)
            sock.sendall(state.encode("utf-8"))
    except Exception:
        logger.debug("Exception while invoking sd_notify()", exc_info=True)
    finally:
        if unset_environment:
            os.environ.pop("NOTIFY_SOCKET")
