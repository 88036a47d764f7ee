"""Look at one request while it passes: sizes, payload, forbidden bytes."""

from dataclasses import replace
from urllib.parse import unquote_to_bytes

from s3envelope.testing.s3_proxy.aws_chunked import AwsChunkedDecoder
from s3envelope.testing.s3_proxy.canaries import StreamScanner
from s3envelope.testing.s3_proxy.ledger import Ledger
from s3envelope.testing.s3_proxy.records import Leak, RecordedRequest
from s3envelope.testing.s3_proxy.wire import Head


class Inspector:
    """Take a request's head, then its body in pieces; report leaks to the ledger at once."""

    def __init__(self, ledger: Ledger, request: RecordedRequest, head: Head) -> None:
        self._ledger = ledger
        self._request = request
        self._wire_size = 0
        self._body_size = 0
        self._kept: list[bytes] | None = [] if ledger.keep_bodies else None
        needles = ledger.needles
        self._payload_scanner = StreamScanner(needles)
        self._framing_scanner = StreamScanner(needles)
        self._decoder = AwsChunkedDecoder(self._payload, self._framing) if _is_aws_chunked(head) else None
        self._look_at(StreamScanner(needles), head.raw, "head")
        # Keys, queries and tag sets are percent-encoded; a plus is a space in some of them.
        decoded = unquote_to_bytes(head.raw)
        for spelling in {decoded, decoded.replace(b"+", b" ")} - {head.raw}:
            self._look_at(StreamScanner(needles), spelling, "head")

    def feed(self, piece: bytes) -> None:
        """Take the next piece of the body."""
        self._wire_size += len(piece)
        if self._decoder is None:
            self._payload(piece)
        else:
            self._decoder.feed(piece)

    def record(self) -> RecordedRequest:
        """Return the request as far as it has passed."""
        body = b"".join(self._kept) if self._kept is not None else None
        return replace(self._request, body_size=self._body_size, wire_size=self._wire_size, body=body)

    def _payload(self, piece: bytes) -> None:
        self._body_size += len(piece)
        if self._kept is not None:
            self._kept.append(piece)
        self._look_at(self._payload_scanner, piece, "body")

    def _framing(self, piece: bytes) -> None:
        self._look_at(self._framing_scanner, piece, "framing")

    def _look_at(self, scanner: StreamScanner, piece: bytes, where: str) -> None:
        for sighting in scanner.feed(piece):
            needle = sighting.needle
            self._ledger.report(Leak(needle.canary, needle.encoding, where, sighting.offset, self._request))


def _is_aws_chunked(head: Head) -> bool:
    return "aws-chunked" in head.get("content-encoding").lower() or head.get("x-amz-content-sha256").startswith(
        "STREAMING-"
    )
