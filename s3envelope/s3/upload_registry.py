"""The unfinished uploads of one client, in memory and, where several processes may go on with them, on disk."""

from __future__ import annotations

import base64
import binascii
import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from s3envelope.core.envelope import Envelope, open_header
from s3envelope.core.kdf import BodyKey
from s3envelope.core.occurrences import ObjectName
from s3envelope.core.secret import SecretBytes
from s3envelope.core.upload_state import UploadState
from s3envelope.engine.indexed_uploads import IndexedUpload
from s3envelope.engine.message_uploads import MessageUpload
from s3envelope.engine.uploads import PlainUpload
from s3envelope.errors import (
    ConfigurationError,
    DecryptionError,
    EnvelopeError,
    MalformedEnvelopeError,
    UnsupportedOperationError,
)
from s3envelope.formats import names
from s3envelope.stores.upload_states import DirectoryUploadStates, StoredUpload, UploadEntry

if TYPE_CHECKING:
    from s3envelope.s3.seam import Seam

_log = logging.getLogger("s3envelope.uploads")
_Name = tuple[str, str, str]
_MOST_COMPLETED = 64


@dataclass(slots=True, eq=False)
class KnownUpload:
    """An upload, and what the calls around it must remember.

    Args:
        checksum_algorithm: Of `create_multipart_upload`.
        end_part: The part that carries the end of a plain run, once it was sent.
        lock: Held while `complete` decides and sends the end.
        written_tag: Of the state that this process wrote last.
        then: What is left to do when S3 has completed it.
        commitment: Of the body.
        end_request_ids: Of the request that sent the end.
    """

    upload: PlainUpload | IndexedUpload | MessageUpload
    checksum_algorithm: str | None = None
    end_part: dict[str, Any] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    written_tag: str | None = None
    then: Callable[[], None] | None = None
    commitment: bytes | None = None
    end_request_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Completed:
    listed: list[tuple[int, str]]
    sent: list[dict[str, Any]]


def upload_name(parameters: dict[str, Any]) -> _Name:
    """Return what names an upload. An upload id alone is the server's choice."""
    return parameters["Bucket"], parameters["Key"], parameters["UploadId"]


class UploadRegistry:
    """Finds uploads by (bucket, key, upload id).

    Args:
        seam: Of the client.
        store: Where states of indexed uploads outlive the process; `None` keeps them in memory only.
    """

    def __init__(self, seam: Seam, store: DirectoryUploadStates | None) -> None:
        self._seam = seam
        self._store = store
        self._known: dict[_Name, KnownUpload] = {}
        self._completed: OrderedDict[_Name, _Completed] = OrderedDict()
        self._lock = threading.Lock()
        # The authentication of one message cannot go on in another process.
        writes_se1 = seam.config.write_format == names.SE1
        self._elsewhere = ", or import_upload what export_upload gave" if writes_se1 else " in this process"

    def add(self, name: _Name, known: KnownUpload) -> None:
        """Remember a new upload.

        Raises:
            UnsupportedOperationError: The server gave its id to another upload before.
        """
        with self._lock:
            if self._known.setdefault(name, known) is not known:
                raise UnsupportedOperationError(
                    "the server gave the id of an unfinished upload to another one; neither is safe to go on with: "
                    "abort it"
                )
        with self.changing(name, known):
            pass
        self._forget_ended()

    def _forget_ended(self) -> None:
        """Forget an upload whose state was removed because another client ended it; S3 is asked whether it was."""
        if self._store is None:
            return
        with self._lock:
            stored = [name for name, known in self._known.items() if known.written_tag is not None]
        gone = next((name for name in stored if self._store.is_gone((self._seam.endpoint_url, *name))), None)
        if gone is None:
            return
        parameters = dict(zip(("Bucket", "Key", "UploadId"), gone, strict=True))
        try:
            self._seam.inner("ListParts", {**parameters, "MaxParts": 1})
        except (ClientError, BotoCoreError) as error:
            if isinstance(error, ClientError) and error.response.get("Error", {}).get("Code") == "NoSuchUpload":
                self.drop(parameters)

    def get(self, parameters: dict[str, Any]) -> KnownUpload:
        """Return the upload that a call names, from memory or from the store.

        Raises:
            UnsupportedOperationError: There is no state for it, so its key is not here.
        """
        name = upload_name(parameters)
        with self._lock:
            known = self._known.get(name)
        if known is None:
            stored = self._read(name)
            known = None if stored is None else self._adopt_stored(name, stored)
        if known is None:
            raise UnsupportedOperationError(
                "there is no state for the upload here: it was begun elsewhere or for another key, completed, or "
                f"aborted. Its parts cannot be sealed; begin a new upload{self._elsewhere}"
            )
        return known

    def envelope_of(self, parameters: dict[str, Any]) -> Envelope | None:
        """Return the envelope of an indexed upload, unverified, from memory or from the store; `None` without one."""
        name = upload_name(parameters)
        with self._lock:
            known = self._known.get(name)
        if known is not None:
            return known.upload.state.envelope() if isinstance(known.upload, IndexedUpload) else None
        stored = self._read(name)
        try:
            return None if stored is None else UploadState.parse(stored.text).envelope()
        except EnvelopeError:
            return None

    def complete(self, parameters: dict[str, Any], listed: list[tuple[int, str]], sent: list[dict[str, Any]]) -> None:
        """Forget an upload that S3 has completed, but for what was sent: the call may be repeated.

        Args:
            listed: (number, ETag) of the parts, as the caller listed them.
            sent: All parts, with the one that ends the object.
        """
        with self._lock:
            self._completed[upload_name(parameters)] = _Completed(listed, sent)
            while len(self._completed) > _MOST_COMPLETED:
                self._completed.popitem(last=False)
        self.drop(parameters)

    def completed(self, parameters: dict[str, Any], listed: list[tuple[int, str]]) -> list[dict[str, Any]] | None:
        """Return what was sent to complete an upload with this list; `None` if it was not completed here."""
        with self._lock:
            known = self._completed.get(upload_name(parameters))
        return None if known is None or known.listed != listed else known.sent

    def drop(self, parameters: dict[str, Any]) -> None:
        """Forget an upload and its key."""
        name = upload_name(parameters)
        with self._lock:
            known = self._known.pop(name, None)
        if known is not None:
            known.upload.finish()
        if self._store is not None and (known is None or isinstance(known.upload, IndexedUpload)):
            with self._entry(name) as entry:
                _delete(entry)

    @contextmanager
    def changing(self, name: _Name, known: KnownUpload) -> Iterator[None]:
        """Change an upload in this block: what other processes recorded is taken over first, the result is stored."""
        upload = known.upload
        if self._store is None or not isinstance(upload, IndexedUpload):
            yield
            return
        with self._entry(name) as entry:
            _take_over(upload, _read(entry), known.written_tag)
            yield
            if entry is not None:
                text, tag = upload.sealed_state()
                if self._write(entry, text, tag, upload):
                    known.written_tag = tag

    def export(self, parameters: dict[str, Any]) -> bytes:
        """Return the state of an indexed upload, for `import_upload` on another machine."""
        known = self.get(parameters)
        if isinstance(known.upload, PlainUpload):
            raise UnsupportedOperationError(
                "an upload with PartSize lives in one process. Instead, create it without PartSize"
            )
        if isinstance(known.upload, MessageUpload):
            raise UnsupportedOperationError(
                "an upload in a format of the Amazon clients lives in one process: its authentication is running. "
                "Instead, use write_format='se1'"
            )
        # Inside: what other processes on this machine recorded is a part of it.
        with self.changing(upload_name(parameters), known):
            text, tag = known.upload.sealed_state()
            small_parts = known.upload.small_parts
        small = {
            str(number): [etag, base64.b64encode(ciphertext).decode("ascii")]
            for number, (etag, ciphertext) in small_parts.items()
        }
        return json.dumps({"state": text.decode("ascii"), "tag": tag, "small_parts": small}).encode("ascii")

    def import_(self, parameters: dict[str, Any], exported: bytes) -> None:
        """Take over an upload that another process exported; what is known of it here stays known.

        Raises:
            MalformedEnvelopeError: `exported` is not what `export_upload` gave.
            DecryptionError: It was changed, or is of another upload.
            UnsupportedOperationError: It is of another upload than the one that is named.
        """
        if self._seam.config.write_format != names.SE1:
            raise UnsupportedOperationError(
                "import_upload is refused: what was exported is an upload in the format SE1, and this client writes "
                f"{self._seam.config.write_format}. Instead, use a client with write_format='se1'"
            )
        name, stored = upload_name(parameters), _read_export(exported)
        known = self._adopt_stored(name, stored)
        upload = known.upload
        if not isinstance(upload, IndexedUpload):
            raise UnsupportedOperationError("an upload of another kind was begun here under the same id; abort it")
        with self.changing(name, known):
            upload.adopt(upload.verified(stored.text, stored.tag), stored.small_parts)

    def _adopt_stored(self, name: _Name, stored: StoredUpload) -> KnownUpload:
        state = UploadState.parse(stored.text)
        if (state.bucket, state.key, state.upload_id) != name:
            raise UnsupportedOperationError("the stored state is of another upload than the one that was named")
        upload = IndexedUpload(self._begun(state), self._open(state), self._seam.ports)
        upload.adopt(upload.verified(stored.text, stored.tag), stored.small_parts)
        adopted = KnownUpload(upload, written_tag=stored.tag, commitment=state.envelope().header.commitment)
        with self._lock:
            known = self._known.setdefault(name, adopted)
        if known is not adopted:
            upload.finish()
        return known

    @staticmethod
    def _begun(state: UploadState) -> UploadState:
        return UploadState(state.bucket, state.key, state.upload_id, state.metadata, (), None)

    def _open(self, state: UploadState) -> BodyKey:
        envelope = state.envelope()
        if not envelope.header.indexed:
            raise UnsupportedOperationError(
                "the stored state is not of an upload that several processes may go on with"
            )

        def attempt(data_key: SecretBytes) -> tuple[SecretBytes, BodyKey]:
            return open_header(data_key, envelope.header, envelope.context, state.key)

        object_key, body_key = self._seam.materials.open_with_data_key(
            envelope.encrypted_data_keys, envelope.context, attempt, about=ObjectName(state.bucket, state.key)
        )
        object_key.wipe()
        return body_key

    def _read(self, name: _Name) -> StoredUpload | None:
        with self._entry(name) as entry:
            return _read(entry)

    @contextmanager
    def _entry(self, name: _Name) -> Iterator[UploadEntry | None]:
        """Give the entry of an upload; `None` if the store cannot be used, which costs resumption only."""
        if self._store is None:
            yield None
            return
        try:
            locked = self._store.locked((self._seam.endpoint_url, *name))
            entry = locked.__enter__()
        except (ConfigurationError, OSError) as error:
            _log.warning("upload states are kept in memory only: %s", error)
            yield None
            return
        try:
            yield entry
        finally:
            locked.__exit__(None, None, None)

    @staticmethod
    def _write(entry: UploadEntry, text: bytes, tag: str, upload: IndexedUpload) -> bool:
        try:
            entry.write(text, tag, upload.small_parts)
        except OSError as error:
            _log.warning("the state of an upload could not be stored, it is kept in memory: %s", error)
            return False
        return True


def _read(entry: UploadEntry | None) -> StoredUpload | None:
    try:
        return None if entry is None else entry.read()
    except OSError as error:
        _log.warning("the stored state of an upload cannot be read: %s", error)
        return None


def _delete(entry: UploadEntry | None) -> None:
    try:
        if entry is not None:
            entry.delete()
    except OSError as error:
        _log.warning("the stored state of an upload that is over cannot be removed: %s", error)


def _take_over(upload: IndexedUpload, stored: StoredUpload | None, written_tag: str | None) -> None:
    """Let an upload that is known here learn what is stored of it."""
    if stored is None or stored.tag == written_tag:
        return
    try:
        state = upload.verified(stored.text, stored.tag)
    except (DecryptionError, MalformedEnvelopeError) as error:
        # What is known here is enough to go on; a part that was only recorded there is an InvalidPart at `complete`.
        _log.warning("the stored state of an upload was changed and is ignored: %s", error)
        return
    upload.adopt(state, stored.small_parts)


def _read_export(exported: bytes) -> StoredUpload:
    try:
        document = json.loads(exported)
        small = {
            int(number): (str(etag), base64.b64decode(ciphertext, validate=True))
            for number, (etag, ciphertext) in document["small_parts"].items()
        }
        return StoredUpload(document["state"].encode("ascii"), str(document["tag"]), small)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error):
        raise MalformedEnvelopeError("this is not what export_upload gave") from None
