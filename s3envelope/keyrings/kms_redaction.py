"""Keep plaintext data keys out of botocore's logs, and get them in a buffer that can be wiped.

botocore logs the body of every KMS response, and of every request, at DEBUG. For the calls of a keyring the plaintext
is cut out of the response before it is parsed, overwritten where it stood, and the request is given a body that does
not print. Where it cannot be cut, because a server spells its answer as nobody expects, the answer is not logged
either.
"""

from __future__ import annotations

import binascii
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from s3envelope.core.secret import SecretBytes, overwrite_bytes

_PLAINTEXT = re.compile(rb'("Plaintext"\s*:\s*)"([A-Za-z0-9+/]*={0,2})"')
_ATTRIBUTE = "_s3envelope_plaintext_guard"
_RESPONSES = ("GenerateDataKey", "Decrypt")
_ANSWERS_LOGGER = "botocore.parsers"
_OK, _FIRST_ERROR = 200, 300


class _HiddenBytes(bytes):
    """A request body that does not print."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{len(self)} bytes that hold a data key>"

    __str__ = __repr__


class HiddenBuffer(bytearray):
    """A data key as a parameter of a request: it does not print, and can be overwritten."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<a buffer of {len(self)} bytes that holds a data key>"

    __str__ = __repr__


class _HideAnswers(logging.Filter):
    """Shows the size of an answer instead of its bytes, in what botocore's parsers log on threads that ask for it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = threading.local()

    @classmethod
    def installed(cls) -> _HideAnswers:
        """Return the one on botocore's logger."""
        logger = logging.getLogger(_ANSWERS_LOGGER)
        known = next((each for each in logger.filters if isinstance(each, cls)), None)
        if known is None:
            known = cls()
            logger.addFilter(known)
        return known

    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(self.calls, "is_secret", False) and isinstance(record.args, tuple):
            record.args = tuple(map(_without_bytes, record.args))
        return True


def _without_bytes(argument: object) -> object:
    return f"<{len(argument)} bytes>" if isinstance(argument, bytes | bytearray) else argument


class PlaintextGuard:
    """The handlers on one KMS client. They act only on calls inside `active()`, on the calling thread."""

    def __init__(self) -> None:
        self._calls = threading.local()
        self._answers = _HideAnswers.installed().calls

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
            self._calls.is_ours = self._answers.is_secret = False

    def cut_plaintext(
        self, response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object
    ) -> None:
        """Take the plaintext out of a response body and hand it on as a `SecretBytes`."""
        body = response_dict.get("body")
        if not getattr(self._calls, "is_ours", False) or not isinstance(body, bytes):
            return
        match = _PLAINTEXT.search(body)
        # What is logged next is this answer.
        self._answers.is_secret = match is None and response_dict.get("status_code", _OK) < _FIRST_ERROR
        if match is None:
            return
        start, end = match.span(2)
        decoded = binascii.a2b_base64(memoryview(body)[start:end])
        customized_response_dict["Plaintext"] = SecretBytes(decoded)
        overwrite_bytes(decoded)
        response_dict["body"] = body[: start - 1] + b"null" + body[end + 1 :]
        # The response object of botocore refers to the same bytes; nothing reads them again.
        del match
        overwrite_bytes(body, start, end)

    def hide_body(self, params: dict[str, Any], **_: object) -> None:
        """Give a request a body that does not print."""
        if getattr(self._calls, "is_ours", False) and isinstance(params.get("body"), bytes):
            params["body"] = _HiddenBytes(params["body"])
