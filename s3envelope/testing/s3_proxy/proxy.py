"""The face of the proxy."""

import ssl
from os import PathLike
from types import TracebackType
from urllib.parse import urlsplit

from s3envelope.errors import ConfigurationError
from s3envelope.testing.s3_proxy.edits import AnswerEditor, EditRule, RequestEditor
from s3envelope.testing.s3_proxy.faults import Fault
from s3envelope.testing.s3_proxy.ledger import Ledger
from s3envelope.testing.s3_proxy.listener import Listener
from s3envelope.testing.s3_proxy.records import Leak, Matcher, RecordedRequest


class S3Proxy:
    """Stand between an S3 client and a storage: record, search for secrets, edit, break.

    The proxy listens on a free port of 127.0.0.1 from its making until `close`, or to the end of a `with`
    block. It passes the client's Host header on unchanged, so signatures stay valid. Bodies pass in pieces of
    at most 256 KiB; only what an editor wants, or `keep_bodies`, is held whole. An exception in an editor ends
    the connection, and that thread: pytest reports it.

    Args:
        upstream_url: Of the storage, plain http.
        certificate_files: PEM files of the certificate chain and of its key: the proxy then speaks https.
        keep_bodies: Keep the payload of each request in the log.

    Raises:
        ConfigurationError: The upstream is not an http URL with a port.
    """

    def __init__(
        self,
        upstream_url: str,
        *,
        certificate_files: tuple[str | PathLike[str], str | PathLike[str]] | None = None,
        keep_bodies: bool = False,
    ) -> None:
        parts = urlsplit(upstream_url)
        if parts.scheme != "http" or parts.hostname is None or parts.port is None:
            raise ConfigurationError(f"the upstream is {upstream_url!r}; use http://HOST:PORT")
        tls = None
        if certificate_files is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(*certificate_files)
        self._ledger = Ledger(keep_bodies=keep_bodies)
        self._listener = Listener((parts.hostname, parts.port), self._ledger, tls)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._listener.port}"

    def __enter__(self) -> "S3Proxy":
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all connections and wait for their threads."""
        self._listener.close()

    @property
    def requests(self) -> list[RecordedRequest]:
        """Return the requests so far; one is here before its answer reaches the client."""
        return self._ledger.requests

    @property
    def leaks(self) -> list[Leak]:
        """Return every forbidden byte sequence met so far: once for a request, place and spelling."""
        return self._ledger.leaks

    def forbid(self, canary: bytes) -> None:
        """Search all requests from now on, head and body, for a canary: raw, in hex and in base64.

        Raises:
            ConfigurationError: The canary is shorter than 12 bytes.
        """
        self._ledger.forbid(canary)

    def on_response(self, matcher: Matcher, editor: AnswerEditor, *, times: int | None = None) -> EditRule:
        """Let an editor change the answers of matching requests; several apply in the order given."""
        rule = EditRule(matcher, times)
        self._ledger.add(rule, on_answer=editor)
        return rule

    def on_request(self, matcher: Matcher, editor: RequestEditor, *, times: int | None = None) -> EditRule:
        """Let an editor change matching requests; what is signed only before storages that check nothing."""
        rule = EditRule(matcher, times)
        self._ledger.add(rule, on_request=editor)
        return rule

    def inject(self, fault: Fault, matcher: Matcher, *, times: int | None = 1) -> EditRule:
        """Let matching requests suffer a fault; the rule's `hit_count` tells how many did.

        A request suffers every `Latency` that matches but only one other fault, in the order given.
        """
        rule = EditRule(matcher, times)
        self._ledger.add(rule, fault=fault)
        return rule

    def let_writes_take_turns(self) -> None:
        """Let every request that writes wait until the one before it is answered.

        S3 checks the conditions of a write and writes in one step. Some storages do it in two, and let another writer
        in between: behind such a proxy they are like S3.
        """
        self._ledger.writes_take_turns = True

    def take_requests(self) -> list[RecordedRequest]:
        """Return the requests so far and forget them, so that a log of hours stays small."""
        return self._ledger.take()

    def clear(self) -> None:
        """Forget log and findings; canaries and rules stay."""
        self._ledger.clear()

    def clear_rules(self) -> None:
        """Forget edits and faults."""
        self._ledger.clear_rules()
