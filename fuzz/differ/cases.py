"""Cases: valid requests, changed at random. The same seed gives the same cases, on any machine."""

import random
import re
from dataclasses import dataclass
from pathlib import Path

from .servers import PROFILES

DICTIONARY = Path(__file__).resolve().parent.parent / "http.dict"
# Comes last, untouched: whether it is answered tells where the request before it was taken to end.
SENTINEL = b"GET /sentinel HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n"

TARGETS = [
    "/", "/a/b?x=1&y=%20", "/%41%2f%2F%e9%zz", "//double//slash", "/a#fragment?no", "/p?q#f",
    "http://h.example/abs?q=1", "http://h:80", "HTTP://u@h/x", "/?unread", "/?stream", "/?none",
    "/;p=1/../b/./c", "/a?b?c", "/%", "/a:b", "/a+b", "/%00", "/?stream&unread", "http://[::1]/x",
]  # fmt: skip
FIELDS = [
    "Accept: */*", "User-Agent: fuzz/1.0", "Cookie: a=b; c=d", "Cookie: e=f", "X-Empty:",
    "X-Blank: \t a b \t ", "X-High: \xe9\xff", "Content-Type: text/plain", "Referer: http://r/",
    "Connection: close", "Connection: keep-alive", "Connection: Keep-Alive, x", "Connection: upgrade",
    "Connection: x ,Close",
    "Expect: 100-continue", "X-Forwarded-Proto: https", "X-Forwarded-Ssl: on", "SCRIPT_NAME: /a",
    "X-Forwarded-For: 192.0.2.7", "A_B: under", "A-B: hyphen", "Script-Name: /x", "PATH_INFO: /y",
    "Proxy: http://evil/", "TE: trailers", "Trailer: X-Sum", "Upgrade: websocket", "Keep-Alive: 5",
    "Authorization: Basic YTpi", "X-Forwarded-Proto: http", "Range: bytes=0-1", "If-Match: \"x\"",
]  # fmt: skip
# Fields that put the framing in doubt, or nearly.
FRAMING = [
    "Content-Length: 0", "Content-Length: 3", "Content-Length: 03", "Content-Length: +3",
    "Content-Length: 3, 3", "Content-Length: 3 ", "Content-Length:", "Content-Length: -1",
    "Content-Length: 0x3", "Content-Length: 3_0", "Content-Length: \xb2", "Content_Length: 3",
    "Content-Length: 99999999999999999999", "Transfer-Encoding: chunked", "Transfer-Encoding: Chunked",
    "Transfer-Encoding: identity", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunked, identity", "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding:\x0bchunked", "Transfer-Encoding : chunked", "Transfer-Encoding: ,chunked",
    "Transfer-Encoding: identity, chunked", "Transfer_Encoding: chunked", "Transfer-Encoding:",
    "Transfer-Encoding: deflate,\tchunked", "Transfer-Encoding: \"chunked\"", "Expect: x",
    "Content-Length:\r\n 3", "Transfer-Encoding: identity,\r\n\tchunked", "X: y\r\n z\r\n\r\n",
    "Transfer-Encoding: chunked\r\n , identity", "X-Fold: a \r\n \t b\r\n c ", "Content-Length : 3",
    "Host: b", "Host:", "Content-Type: other", "Host : b", " folded", "\tfolded: x", "nocolon", ": x",
]  # fmt: skip
EXTENSIONS = ["", "", "", ";a", ";a=b", ' ; a = "q\\";"', ";", ";a b", ";a=", "\t;x", ';a="b', ";a\x7f"]
TRAILERS = ["X-Sum: 1", "X_Y: 2", "Host: t", "Content-Length: 1", "TE: x", "nocolon", " folded", "Empty:"]
ENDS = ["\n", "\r", "\r\r\n", "\n\r\n", " \r\n", "\r\n\r\n", "\0\r\n", "\x0b\r\n", ""]
BYTES = b"\0\t\n\x0b\x0c\r !\"#%&'()+,-./09:;<=>?@AZ[\\]^_`az{|}~\x7f\x80\x85\xa0\xff"

# What a load balancer says first, for the profile "proxy".
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
IPV4 = bytes([192, 0, 2, 1, 198, 51, 100, 2, 0xC8, 0x22, 0x01, 0xBB])
IPV6 = bytes.fromhex("20010db8" + "00" * 11 + "01" + "20010db8" + "00" * 11 + "02" + "04d20050")
PROXIED = [
    b"PROXY TCP4 192.0.2.1 198.51.100.2 51234 443\r\n",
    b"PROXY TCP6 2001:db8::1 ::1 1234 80\r\n",
    b"PROXY UNKNOWN\r\n",
    SIGNATURE + b"\x21\x11\0\x0c" + IPV4,
    SIGNATURE + b"\x21\x21\0\x24" + IPV6,
    SIGNATURE + b"\x20\0\0\0",
    SIGNATURE + b"\x21\x11\0\x11" + IPV4 + b"\x01\0\x02h2",
]


@dataclass
class Case:
    profile: str
    pieces: list  # as they are sent
    patient: bool  # the sending side is left open after the last piece

    def wire(self):
        return b"".join(self.pieces)


class Cases:
    """Gives the cases of a seed by their numbers."""

    def __init__(self, seed, profiles):
        assert all(profile in PROFILES for profile in profiles)
        self.seed = seed
        self.profiles = profiles
        text = DICTIONARY.read_text()
        self.words = [_unescape(word) for word in re.findall(r'^"(.*)"$', text, re.MULTILINE)]

    def case(self, number):
        source = random.Random(f"{self.seed} {number}")
        profile = self.profiles[number % len(self.profiles)]
        wire = b"".join(_request(source) for _ in range(source.choice([1, 1, 1, 2])))
        changes = source.choice([0, 1, 1, 1, 2, 3])
        if profile == "proxy" and source.random() < 0.8:
            header = source.choice(PROXIED)
            if source.random() < 0.5:
                header = _changed(source, header, self.words)
                changes = 0
            wire = header + wire
        for _ in range(changes):
            wire = _changed(source, wire, self.words)
        if source.random() < 0.85:
            wire += SENTINEL
        pieces = [wire]
        if source.random() < 0.15:
            cuts = sorted(source.randrange(len(wire) + 1) for _ in range(source.choice([1, 2])))
            ends = [*cuts, len(wire)]
            pieces = [wire[a:b] for a, b in zip([0, *cuts], ends) if a < b] or [wire]
        return Case(profile, pieces, source.random() < 0.1)


def _request(source):
    methods = ["GET"] * 5 + ["POST"] * 5 + ["PUT", "HEAD", "HEAD", "OPTIONS", "CONNECT", "PATCH", "M-SEARCH"]
    method = source.choice(methods)
    target = source.choice(TARGETS)
    if method == "OPTIONS" and source.random() < 0.5:
        target = "*"
    if method == "CONNECT" and source.random() < 0.7:
        target = "h.example:443"
    version = source.choice(["1.1"] * 8 + ["1.0", "1.0", "1.2"])
    if source.random() < 0.04:
        # For the settings that permit them.
        method = source.choice(["get", "Post", "hEAD", "connect", "X", "LONGER-THAN-TWENTY-CHARACTERS", "a#b"])
        version = source.choice(["1.1", "2.0", "0.9", "3.1", "1.1"])
    lines = [f"{method} {target} HTTP/{version}"]
    fields = ["Host: " + source.choice(["h", "h.example:8080", "[::1]:80", "H"])]
    fields += source.sample(FIELDS, source.choice([0, 1, 2, 3, 5]))
    body = b""
    framing = source.random()
    if framing < 0.35:
        body = _bytes(source)
        fields.append(f"Content-Length: {len(body)}")
    elif framing < 0.7 and version != "1.0":
        body = _chunked(source)
        fields.append("Transfer-Encoding: chunked")
    source.shuffle(fields)
    return "\r\n".join([*lines, *fields, "", ""]).encode("latin-1") + body


def _bytes(source):
    plain = [b"", b"abc", b"a=1&b=2", b"\r\n", b"0\r\n\r\n", SENTINEL, b"x" * 40]
    return source.choice(plain)


def _chunked(source):
    wire = b""
    for _ in range(source.choice([0, 1, 1, 2])):
        data = _bytes(source)
        if data:
            size = source.choice(["%x", "%X", "0%x", "%04x"]) % len(data)
            extension = source.choice(EXTENSIONS) if source.random() < 0.3 else ""
            wire += (size + extension).encode("latin-1") + b"\r\n" + data + b"\r\n"
    wire += b"0\r\n"
    if source.random() < 0.25:
        wire += "".join(line + "\r\n" for line in source.sample(TRAILERS, source.choice([1, 2]))).encode()
    return wire + b"\r\n"


def _changed(source, wire, words):
    at = source.randrange(len(wire) + 1)
    end = min(len(wire), at + source.choice([1, 1, 2, 5, 20]))
    breaks = [found.start() for found in re.finditer(rb"\r\n", wire)] or [0]
    line = source.choice(breaks)
    change = source.randrange(13)
    if change == 0:
        return wire[:at] + wire[end:]
    if change == 1:
        return wire[:at] + bytes([source.choice(BYTES)]) + wire[at:]
    if change == 2:
        return wire[:at] + bytes([source.choice(BYTES)]) + wire[at + 1 :]
    if change == 3:
        return wire[:at] + source.choice(words) + wire[at:]
    if change in (4, 5):
        return wire[:line] + b"\r\n" + source.choice(FRAMING).encode("latin-1") + wire[line:]
    if change == 6:
        return wire[:line] + b"\r\n" + source.choice(FIELDS).encode("latin-1") + wire[line:]
    if change == 7:
        return wire[:line] + source.choice(ENDS).encode("latin-1") + wire[line + 2 :]
    if change == 8:
        # A line twice, or one less.
        next_line = wire.find(b"\r\n", line + 2)
        if next_line < 0:
            return wire
        if source.random() < 0.5:
            return wire[:next_line] + wire[line:next_line] + wire[next_line:]
        return wire[:line] + wire[next_line:]
    if change == 9:
        numbers = list(re.finditer(rb"[0-9a-fA-F]+", wire))
        if not numbers:
            return wire
        number = source.choice(numbers)
        other = source.choice([b"0", b"1", b"4", b"5", b"10", b"fF", b"99", b"1_0", b"+1", b"0x1", b""])
        return wire[: number.start()] + other + wire[number.end() :]
    if change == 10:
        # Around the limits of the profile "tight", or those of "default".
        count = source.choice([20, 50, 90, 100, 4000, 8200]) + source.randrange(20)
        return wire[:at] + wire[at : at + 1] * count + wire[at:]
    if change == 11:
        return wire[:at]
    return wire[:at] + wire[at:end].swapcase() + wire[end:]


def _unescape(word):
    """libFuzzer's escapes are among Python's."""
    return word.encode().decode("unicode_escape").encode("latin-1")
