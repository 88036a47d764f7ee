"""Keep plaintext data keys out of botocore's logs, and get them in a buffer that can be wiped.

botocore logs the body of every KMS response, and of every request, at DEBUG. For the calls of a keyring the plaintext
is cut out of the response before it is parsed, and the request is given a body that does not print.
"""

from __future__ import annotations

import binascii
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_PLAINTEXT = re.compile(rb'("Plaintext"\s*:\s*)"([A-Za-z0-9+/]*={0,2})"')
_ATTRIBUTE = "_s3envelope_plaintext_guard"
_RESPONSES = ("GenerateDataKey", "Decrypt")


class _HiddenBytes(bytes):
    """A request body that does not print."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{len(self)} bytes that hold a data key>"

    __str__ = __repr__


class PlaintextGuard:
    """The handlers on one KMS client. They act only on calls inside `active()`, on the calling thread."""

    def __init__(self) -> None:
        self._calls = threading.local()

    @classmethod
    def of(cls, client: Any) -> PlaintextGuard:
        """Return the guard of a client, the same one for every keyring that shares the client."""
        known = getattr(client, _ATTRIBUTE, None)
        if isinstance(known, cls):
            return known
        guard = cls()
        setattr(client, _ATTRIBUTE, guard)
        for operation in _RESPONSES:
            client.meta.events.register(f"before-parse.kms.{operation}", guard.cut_plaintext)
        client.meta.events.register("before-call.kms.Encrypt", guard.hide_body)
        return guard

    @contextmanager
    def active(self) -> Iterator[None]:
        """Guard the KMS call that is made in this block."""
        self._calls.is_ours = True
        try:
            yield
        finally:
            self._calls.is_ours = False

    def cut_plaintext(
        self, response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object
    ) -> None:
        """Take the plaintext out of a response body and hand it on as a `bytearray`."""
        body = response_dict.get("body")
        if not getattr(self._calls, "is_ours", False) or not isinstance(body, bytes):
            return
        match = _PLAINTEXT.search(body)
        if match is None:
            return
        customized_response_dict["Plaintext"] = bytearray(binascii.a2b_base64(match.group(2)))
        response_dict["body"] = body[: match.start()] + match.group(1) + b"null" + body[match.end() :]

    def hide_body(self, params: dict[str, Any], **_: object) -> None:
        """Give a request a body that does not print."""
        if getattr(self._calls, "is_ours", False) and isinstance(params.get("body"), bytes):
            params["body"] = _HiddenBytes(params["body"])
