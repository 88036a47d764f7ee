"""The unfinished uploads of one client, in memory and, where several processes may go on with them, on disk."""

from __future__ import annotations

import base64
import binascii
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from s3envelope.core.envelope import open_header
from s3envelope.core.kdf import BodyKey
from s3envelope.core.secret import SecretBytes
from s3envelope.core.upload_state import UploadState
from s3envelope.engine.indexed_uploads import IndexedUpload
from s3envelope.engine.uploads import PlainUpload
from s3envelope.errors import ConfigurationError, MalformedEnvelopeError, UnsupportedOperationError
from s3envelope.stores.upload_states import DirectoryUploadStates, StoredUpload, UploadEntry

if TYPE_CHECKING:
    from s3envelope.s3.seam import Seam

_log = logging.getLogger("s3envelope.uploads")
_Name = tuple[str, str, str]


@dataclass(slots=True, eq=False)
class KnownUpload:
    """An upload, and what the calls around it must remember.

    Args:
        checksum_algorithm: Of `create_multipart_upload`.
        end_part: The part that carries the end of a plain run, once it was sent.
        lock: Held while `complete` decides and sends the end.
        written_tag: Of the state that this process wrote last.
    """

    upload: PlainUpload | IndexedUpload
    checksum_algorithm: str | None = None
    end_part: dict[str, Any] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    written_tag: str | None = None


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
        self._lock = threading.Lock()

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
                "aborted. Its parts cannot be sealed; begin a new upload, or import_upload what export_upload gave"
            )
        return known

    def drop(self, parameters: dict[str, Any]) -> None:
        """Forget an upload and its key."""
        name = upload_name(parameters)
        with self._lock:
            known = self._known.pop(name, None)
        if known is not None:
            known.upload.finish()
        if self._store is not None and not (known is not None and isinstance(known.upload, PlainUpload)):
            with self._entry(name) as entry:
                if entry is not None:
                    entry.delete()

    @contextmanager
    def changing(self, name: _Name, known: KnownUpload) -> Iterator[None]:
        """Change an upload in this block: what other processes recorded is taken over first, the result is stored."""
        upload = known.upload
        if self._store is None or isinstance(upload, PlainUpload):
            yield
            return
        with self._entry(name) as entry:
            stored = None if entry is None else entry.read()
            if stored is not None and stored.tag != known.written_tag:
                upload.adopt(upload.verified(stored.text, stored.tag), stored.small_parts)
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
        text, tag = known.upload.sealed_state()
        small = {
            str(number): [etag, base64.b64encode(ciphertext).decode("ascii")]
            for number, (etag, ciphertext) in known.upload.small_parts.items()
        }
        return json.dumps({"state": text.decode("ascii"), "tag": tag, "small_parts": small}).encode("ascii")

    def import_(self, parameters: dict[str, Any], exported: bytes) -> None:
        """Take over an upload that another process exported.

        Raises:
            MalformedEnvelopeError: `exported` is not what `export_upload` gave.
            DecryptionError: It was changed, or is of another upload.
        """
        name = upload_name(parameters)
        known = self._adopt_stored(name, _read_export(exported))
        with self.changing(name, known):
            pass

    def _adopt_stored(self, name: _Name, stored: StoredUpload) -> KnownUpload:
        state = UploadState.parse(stored.text)
        if (state.bucket, state.key, state.upload_id) != name:
            raise UnsupportedOperationError("the stored state is of another upload than the one that was named")
        upload = IndexedUpload(self._begun(state), self._open(state), self._seam.ports)
        upload.adopt(upload.verified(stored.text, stored.tag), stored.small_parts)
        with self._lock:
            return self._known.setdefault(name, KnownUpload(upload, written_tag=stored.tag))

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
            envelope.encrypted_data_keys, envelope.context, attempt
        )
        object_key.wipe()
        return body_key

    def _read(self, name: _Name) -> StoredUpload | None:
        with self._entry(name) as entry:
            return None if entry is None else entry.read()

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
