"""Listening sockets as hooks and extensions see them.

The server's own listeners are in Rust; these objects wrap descriptors of the same sockets, or sockets
that somebody else makes with them.
"""

import errno
import os
import socket
import ssl
import stat
import struct
import sys
import time

from gunicorn import util

PLATFORM = sys.platform

# struct tcp_info of linux/tcp.h: eight bytes, then numbers. That of a listening socket has the length
# of its backlog where others have the segments that were not acknowledged.
TCP_INFO = "8B24I"
TCP_INFO_UNACKED = 12

ATTEMPTS = 5


class BaseSocket:
    """A listening socket and the address it was asked for. What it lacks, the socket has."""

    FAMILY = None

    def __init__(self, address, conf, log, fd=None):
        self.log = log
        self.conf = conf
        self.cfg_addr = address
        if fd is None:
            sock = socket.socket(self.FAMILY, socket.SOCK_STREAM)
        else:
            sock = socket.fromfd(fd, self.FAMILY, socket.SOCK_STREAM)
            os.close(fd)
        try:
            self.sock = self.set_options(sock, bound=fd is not None)
        except BaseException:
            sock.close()
            raise

    def __str__(self):
        return "<socket %d>" % self.sock.fileno()

    def __getattr__(self, name):
        if name == "sock":
            # Not made yet.
            raise AttributeError(name)
        return getattr(self.sock, name)

    def set_options(self, sock, bound=False):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.conf.reuse_port:
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            except OSError as error:
                # Unix sockets have no ports.
                if error.errno not in (errno.ENOPROTOOPT, errno.EINVAL, errno.EOPNOTSUPP):
                    raise
        if not bound:
            self.bind(sock)
        sock.setblocking(False)
        sock.set_inheritable(True)
        if not self._is_listening(sock):
            sock.listen(self.conf.backlog)
        return sock

    @staticmethod
    def _is_listening(sock):
        try:
            return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        except OSError:
            return False

    def bind(self, sock):
        sock.bind(self.cfg_addr)

    def close(self):
        if self.sock is None:
            return
        try:
            self.sock.close()
        except OSError as error:
            self.log.info("Error while closing socket %s", error)
        self.sock = None

    def get_backlog(self):
        """How many connections wait to be accepted; -1 if that cannot be told."""
        return -1


class TCPSocket(BaseSocket):
    FAMILY = socket.AF_INET

    def __str__(self):
        scheme = "https" if self.conf.is_ssl else "http"
        return "%s://%s:%d" % (scheme, *self.sock.getsockname()[:2])

    def set_options(self, sock, bound=False):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return super().set_options(sock, bound=bound)

    def get_backlog(self):
        if not self.sock:
            return 0
        size = struct.calcsize(TCP_INFO)
        try:
            info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, size)
            return struct.unpack(TCP_INFO, info)[TCP_INFO_UNACKED]
        except (OSError, struct.error):
            return 0


class TCP6Socket(TCPSocket):
    FAMILY = socket.AF_INET6

    def __str__(self):
        return "http://[%s]:%d" % self.sock.getsockname()[:2]


class UnixSocket(BaseSocket):
    FAMILY = socket.AF_UNIX

    def __init__(self, addr, conf, log, fd=None):
        if fd is None and not self.is_abstract(addr):
            self.make_way(addr)
        super().__init__(addr, conf, log, fd=fd)

    def __str__(self):
        return "unix:%s" % self.cfg_addr

    @staticmethod
    def is_abstract(addr):
        return addr.startswith("\0")

    @staticmethod
    def make_way(path):
        """Remove the socket that an earlier process has left behind."""
        try:
            mode = os.stat(path).st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise ValueError("%r is not a socket" % path)
        os.remove(path)

    def bind(self, sock):
        before = os.umask(self.conf.umask)
        try:
            sock.bind(self.cfg_addr)
        finally:
            os.umask(before)
        if not self.is_abstract(self.cfg_addr):
            util.chown(self.cfg_addr, self.conf.uid, self.conf.gid)


def _sock_type(addr):
    if isinstance(addr, tuple):
        return TCP6Socket if util.is_ipv6(addr[0]) else TCPSocket
    if isinstance(addr, (str, bytes)):
        return UnixSocket
    raise TypeError("Unable to create socket from: %r" % addr)


def create_sockets(conf, log, fds=None):
    """Listening sockets for the addresses of a configuration, or of descriptors that are bound."""
    for name in ("certfile", "keyfile"):
        path = getattr(conf, name)
        if path and not os.path.exists(path):
            raise ValueError('%s "%s" does not exist' % (name, path))
    addresses = conf.address
    bound = [addr for addr in addresses if isinstance(addr, int)] + list(fds or ())
    if bound:
        return [_from_descriptor(fd, conf, log) for fd in bound]
    return [_bind(addr, conf, log) for addr in addresses]


def _from_descriptor(fd, conf, log):
    with socket.fromfd(fd, socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        name = sock.getsockname()
    return _sock_type(name)(name, conf, log, fd=fd)


def _bind(addr, conf, log):
    kind = _sock_type(addr)
    for _ in range(ATTEMPTS):
        try:
            return kind(addr, conf, log)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                log.error("Connection in use: %s", addr)
            elif error.errno == errno.EADDRNOTAVAIL:
                log.error("Invalid address: %s", addr)
            log.error("connection to %s failed: %s", addr, error)
            log.debug("Retrying in 1 second.")
            time.sleep(1)
    log.error("Can't connect to %s", addr)
    sys.exit(1)


def close_sockets(listeners, unlink=True):
    for listener in listeners:
        name = listener.getsockname()
        listener.close()
        if unlink and _sock_type(name) is UnixSocket:
            os.unlink(name)


def ssl_context(conf):
    """The context for TLS, from the hook `ssl_context` if there is one."""

    def default_ssl_context_factory():
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=conf.ca_certs)
        context.load_cert_chain(certfile=conf.certfile, keyfile=conf.keyfile)
        context.verify_mode = conf.cert_reqs
        if conf.ciphers:
            context.set_ciphers(conf.ciphers)
        return context

    return conf.ssl_context(conf, default_ssl_context_factory)


def ssl_wrap_socket(sock, conf):
    return ssl_context(conf).wrap_socket(
        sock,
        server_side=True,
        suppress_ragged_eofs=conf.suppress_ragged_eofs,
        do_handshake_on_connect=conf.do_handshake_on_connect,
    )
