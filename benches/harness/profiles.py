"""The load profiles: which application, which request."""

from __future__ import annotations

from dataclasses import dataclass, field

#: What Firefox sends with a navigation, besides Host: twelve headers.
BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br",
    "Referer": "http://127.0.0.1/previous/page?with=query",
    "Connection": "keep-alive",
    "Cookie": "sessionid=5v3kq0f2m1x8z7w6y4t9; csrftoken=aGVsbG8gd29ybGQsIHRva2Vu",
    "Upgrade-Insecure-Requests": "1",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "same-origin",
    "Sec-Fetch-User": "?1",
}

POST_SIZE = 64 * 1024


@dataclass(frozen=True)
class Profile:
    """One kind of request.

    `body`: bytes of request body to POST (0: GET). `answer`: bytes of response body that prove
    the server did its work (0: not checked). `connections`: how many clients at once.
    """

    key: str
    title: str
    module: str
    headers: dict = field(default_factory=dict)
    body: int = 0
    answer: int = 0
    connections: int = 32


PROFILES = [
    Profile("hello", "Hello, keep-alive", "hello", answer=14),
    Profile("headers", "Hello with 12 browser headers", "hello", BROWSER, answer=14),
    Profile("close", "Hello with `Connection: close`", "hello", {"Connection": "close"}, answer=14),
    Profile("flask", "Flask JSON", "flask_json"),
    Profile("django", "Django view", "django_view", answer=14),
    Profile("post", "POST of 64 KiB", "post", body=POST_SIZE, answer=len(str(POST_SIZE))),
    Profile("big", "1 MiB response", "big", answer=2**20, connections=8),
    Profile("file", "10 MiB file through `wsgi.file_wrapper`", "file", answer=10 * 2**20, connections=8),
]
BY_KEY = {profile.key: profile for profile in PROFILES}

#: Where the application itself weighs, its own cost is measured in a bare loop and taken off.
WITH_BARE_LOOP = ("hello", "flask", "django")
