"""Addresses of AWS on a local server: requests go to the host that botocore chose, as far as the client can tell."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from botocore.awsrequest import AWSResponse

_SESSION = b"""<?xml version="1.0" encoding="UTF-8"?>
<CreateSessionResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Credentials>
<SessionToken>token</SessionToken><SecretAccessKey>secret</SecretAccessKey><AccessKeyId>id</AccessKeyId>
<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></CreateSessionResult>"""
_SOURCE = re.compile(r"^(arn:.*?/object|[^/]*)/")


class _Raw(io.BytesIO):
    def stream(self, **_: object) -> Iterator[bytes]:
        yield self.read()


class Redirect:
    """Sends what a client means for a host of AWS to a local server, and notes the hosts.

    Args:
        client: Made without `endpoint_url`.
        url: Of the local server, which takes path style and verifies no signatures.
        bucket: That stands for whatever the host names.
    """

    def __init__(self, client: Any, url: str, bucket: str) -> None:
        self.hosts: list[str] = []
        self._base, self._bucket = urlsplit(url), bucket
        client.meta.events.register("before-send.s3", self._send)

    def _send(self, request: Any, **_: object) -> AWSResponse | None:
        target = urlsplit(request.url)
        self.hosts.append(target.netloc)
        if target.query == "session":
            raw: Any = _Raw(_SESSION)
            headers: Any = {"content-type": "application/xml"}
            return AWSResponse(request.url, 200, headers, raw)
        is_path_style = target.netloc.startswith("s3.")
        path = target.path if is_path_style else f"/{self._bucket}{target.path}"
        request.url = urlunsplit((self._base.scheme, self._base.netloc, path, target.query, ""))
        if "x-amz-copy-source" in request.headers:
            source = unquote(_text(request.headers["x-amz-copy-source"]))
            del request.headers["x-amz-copy-source"]
            request.headers["x-amz-copy-source"] = quote(_SOURCE.sub(f"{self._bucket}/", source))
        return None


def _text(header: str | bytes) -> str:
    return header.decode() if isinstance(header, bytes) else header
