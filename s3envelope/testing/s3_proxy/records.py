"""What the proxy saw: requests, and the forbidden bytes in them."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from s3envelope.testing.s3_proxy.wire import Headers, header_of


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """One request as it came from the client.

    Attributes:
        path: Percent-decoded; `target` is the undecoded path with its query.
        body_size: Bytes of the payload, without aws-chunked framing; `wire_size` counts that too.
        body: The payload, if the proxy was made with `keep_bodies=True`, else None.
        status: Of the answer that the client was sent, or None if it got none.
    """

    number: int
    method: str
    target: str
    headers: Headers
    body_size: int = 0
    wire_size: int = 0
    body: bytes | None = None
    status: int | None = None

    @property
    def path(self) -> str:
        """Return the path, percent-decoded, without the query."""
        return unquote(self.target.partition("?")[0])

    @property
    def query(self) -> str:
        """Return the query as sent, without the question mark."""
        return self.target.partition("?")[2]

    def header(self, name: str, default: str = "") -> str:
        """Return the first header of that name, in any case of letters."""
        return header_of(self.headers, name, default)


@dataclass(frozen=True, slots=True)
class Leak:
    """Forbidden bytes in a request: which canary, how it was spelt, and where.

    Attributes:
        where: "head" (path, query, headers), "body", or "framing" (chunk lines and trailers).
        offset: Bytes from the start of that place.
        request: As known from its head: sizes, body and status are in the log only.
    """

    canary: bytes
    encoding: str
    where: str
    offset: int
    request: RecordedRequest


Matcher = Callable[[RecordedRequest], bool]


def matching(*, method: str | None = None, path: str | None = None, contains: str = "") -> Matcher:
    """Return a matcher of requests.

    Args:
        method: For example "PUT"; None matches all.
        path: The whole decoded path, such as "/bucket/key"; None matches all.
        contains: A substring of path and query, as in "uploadId=".
    """

    def matches(request: RecordedRequest) -> bool:
        return (
            (method is None or request.method == method)
            and (path is None or request.path == path)
            and (contains in request.target or contains in request.path)
        )

    return matches
