"""A browser without a window, for the pages: it keeps cookies and follows redirects."""

from __future__ import annotations

import http.cookiejar
import re
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from html import unescape


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said."""

    status: int
    headers: dict[str, str]
    page: str

    @property
    def text(self) -> str:
        """The page without elements, with single spaces."""
        return " ".join(unescape(re.sub(r"<[^>]*>", " ", self.page)).split())


@dataclass(slots=True)
class Visitor:
    """Asks for pages of one server.

    Args:
        address: As the command prints it, with the token.
    """

    address: str
    cookies: http.cookiejar.CookieJar = field(default_factory=http.cookiejar.CookieJar)

    @property
    def base(self) -> str:
        """The address of the server."""
        return self.address.partition("/enter")[0]

    def enter(self) -> Answer:
        """Open the address that was printed."""
        return self.get(self.address)

    def get(self, path: str, **query: str) -> Answer:
        """Ask for a page."""
        return self.request("GET", path + ("?" + urllib.parse.urlencode(query) if query else ""))

    def request(self, method: str, path: str, **headers: str) -> Answer:
        """Send any request."""
        url = path if path.startswith("http") else self.base + path
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.cookies)
        )
        request = urllib.request.Request(url, method=method, headers=headers)
        try:
            with opener.open(request, timeout=60) as answer:
                return Answer(answer.status, dict(answer.headers), answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), error.read().decode())

    def settled(self, path: str, **query: str) -> Answer:
        """Ask for a page until what it waits for has ended."""
        answer = self.get(path, **query)
        query.pop("again", None)
        while 'http-equiv="refresh"' in answer.page:
            answer = self.get(path, **query)
        return answer
