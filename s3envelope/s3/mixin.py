"""What an enveloped client has beside a plain one: the base class of all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from s3envelope.core.envelope import Envelope
from s3envelope.core.layout import plaintext_size
from s3envelope.core.ports import DataKeyStatus, Keyring
from s3envelope.errors import UnsupportedOperationError
from s3envelope.formats.s3ec import bodies
from s3envelope.formats.s3ec.model import S3ecEnvelope
from s3envelope.formats.s3ec.policy import needed_names
from s3envelope.s3 import reads
from s3envelope.s3.auditing import refusals
from s3envelope.s3.rewrap import RewrapRequest, rewrap
from s3envelope.s3.seam import Seam


@dataclass(frozen=True, slots=True)
class EnvelopeDescription:
    """What the metadata of an object says of itself; not verified.

    Args:
        format: "SE1"; or "s3ec-v3", "s3ec-v2", "s3ec-v1" for objects of the Amazon S3 Encryption Clients.
        bound: Whether it opens only under the key it was written to.
        indexed: Whether its parts are listed in an index at its end.
        commitment: 64 hexadecimal digits that identify the upload; 56 of "s3ec-v3", none of the older formats.
        encryption_context: In clear; of the Amazon formats the material description, with the entries they add.
        key_hints: One per encrypted data key, 8 hexadecimal digits each; none of the Amazon formats.
        plaintext_size: In bytes; `None` where it takes a key to know: in the indexed layout, and with AES-CBC.
        ciphertext_size: In bytes.
        etag, version_id: As S3 has them.
        data_key: What this client's cache knows of the data key, and whether it was last used offline; `None` if it
            knows nothing.
        read_formats: Of the Amazon formats: the names that the client's `read_formats` must have to read it.
    """

    format: str
    bound: bool
    indexed: bool
    commitment: str
    encryption_context: dict[str, str]
    key_hints: tuple[str, ...]
    plaintext_size: int | None
    ciphertext_size: int
    etag: str
    version_id: str | None
    data_key: DataKeyStatus | None
    read_formats: tuple[str, ...] = ()


class EnvelopeMixin:
    """What an enveloped client has beside botocore's; it comes first among the bases of the client's class."""

    _s3envelope_setup: Callable[[Any], Seam]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._s3envelope = type(self)._s3envelope_setup(self)

    def _make_api_call(self, operation_name: str, api_params: dict[str, Any]) -> dict[str, Any]:
        send = super()._make_api_call  # type: ignore[misc]
        return self._s3envelope.call(operation_name, api_params, send)

    def close(self) -> None:
        """Close as botocore does; waits for a rewrap of `rotate_on_read` that is going on."""
        if self._s3envelope.read_rotation is not None:
            self._s3envelope.read_rotation.close()
        super().close()  # type: ignore[misc]

    def _get_credentials(self) -> None:
        # boto3 asks for these only to build a CRT client, which no handler of this client would see: it would
        # upload plaintext. Without credentials it takes its classic transfer manager.
        return None

    def generate_presigned_post(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: whoever uses the form would store plaintext."""
        with refusals(self._s3envelope, "PresignedPost", {}):
            raise UnsupportedOperationError(
                "generate_presigned_post is refused: whoever uses the form would store plaintext. Instead, write the "
                "object through this client"
            )

    def describe_envelope(self, *, Bucket: str, Key: str, **parameters: Any) -> EnvelopeDescription:  # noqa: N803
        """Return what an object's metadata says of it, without a key; `parameters` are those of head_object.

        Raises:
            EnvelopeError: The object has no envelope, or one that is not understood.
        """
        envelope, answer = reads.describe(self._s3envelope, {"Bucket": Bucket, "Key": Key, **parameters})
        return _description(self._s3envelope, envelope, answer)

    def export_upload(self, *, Bucket: str, Key: str, UploadId: str) -> bytes:  # noqa: N803  # boto3's names
        """Return the state of an unfinished multipart upload, for `import_upload` in another process or machine.

        It is no secret, but authentic: it holds no plaintext and no key.

        Raises:
            UnsupportedOperationError: The upload is not known here, or was created with `PartSize`.
        """
        return self._s3envelope.uploads.export({"Bucket": Bucket, "Key": Key, "UploadId": UploadId})

    def import_upload(self, *, Bucket: str, Key: str, UploadId: str, State: bytes) -> None:  # noqa: N803
        """Go on with an unfinished multipart upload that another process exported.

        Raises:
            DecryptionError, EnvelopeError, KeyringError: The state does not open, or is of another upload.
        """
        self._s3envelope.uploads.import_({"Bucket": Bucket, "Key": Key, "UploadId": UploadId}, State)

    def rewrap_object(
        self,
        *,
        Bucket: str,  # noqa: N803  # boto3's names
        Key: str,  # noqa: N803
        VersionId: str | None = None,  # noqa: N803
        to: Keyring | str | Sequence[str] | None = None,
        encryption_context: Mapping[str, str] | None = None,
        share_key: bool = False,
        adopt: bool = False,
        commitment: str | None = None,
        bound_name: str | None = None,
        edk_only: bool = False,
        copy_acl: bool = False,
        copy_object_lock: bool = False,
        **request: Any,
    ) -> EnvelopeDescription:
        """Give an object a new envelope: other keys, another context, another binding. Its body stays as it is.

        Everything else of the object is kept: headers, user metadata, tags, storage class, server-side encryption,
        checksum algorithm, and on request access control and object lock. The new envelope is seen to open before it
        replaces the old one, and nothing is replaced that was overwritten meanwhile.

        Args:
            VersionId: Only of the current version: others cannot be changed, only be put in front of it.
            to: A keyring, or one or several KMS key ids, that wrap the new data key; by default the client's own.
            encryption_context: Replaces the object's; by default it is kept.
            share_key: With `bound_name`: allows readers of new keys, while the object under that name stays.
            adopt: Binds an object to its key that was not bound, though anybody may have put it there.
            commitment: Instead of `adopt`: 64 hexadecimal digits, as `describe_envelope` shows them.
            bound_name: The key that the object was written to, if it was copied by a client that knows no envelopes.
            edk_only: Let KMS re-encrypt the data keys; the header stays, and no key is seen here. The client's keyring
                names the keys to re-encrypt from by their ARNs. Only between keys with the same readers.
            copy_acl, copy_object_lock: Keep these as well.
            request: `SSECustomerAlgorithm` and its kin, `RequestPayer`, `ExpectedBucketOwner`.

        Returns:
            What the new metadata says.

        Raises:
            NotEncryptedError: The object has no envelope.
            ObjectChangedError: It was overwritten meanwhile; the newer one stays.
            UnsupportedOperationError: The version is not the current one; or see `share_key`.
            KeyringError, DecryptionError: The envelope does not open, or there is no new data key.

        Source: FORMAT.md, section "Copying".
        """
        wanted = RewrapRequest(
            bucket=Bucket,
            key=Key,
            version_id=VersionId,
            to=to,
            encryption_context=encryption_context,
            share_key=share_key,
            adopt=adopt,
            commitment=commitment,
            bound_name=bound_name,
            edk_only=edk_only,
            copy_acl=copy_acl,
            copy_object_lock=copy_object_lock,
            request=request,
        )
        return _description(self._s3envelope, *rewrap(self._s3envelope, wanted))

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a client cannot be copied or pickled; make one per process")


def _description(seam: Seam, envelope: Envelope | S3ecEnvelope, answer: dict[str, Any]) -> EnvelopeDescription:
    if isinstance(envelope, S3ecEnvelope):
        return _s3ec_description(envelope, answer)
    header, stored_size = envelope.header, int(answer["ContentLength"])
    return EnvelopeDescription(
        format="SE1",
        bound=header.bound,
        indexed=header.indexed,
        commitment=header.commitment.hex(),
        encryption_context=dict(envelope.context),
        key_hints=tuple(key.hint.hex() for key in envelope.encrypted_data_keys),
        plaintext_size=None if header.indexed else plaintext_size(stored_size),
        ciphertext_size=stored_size,
        etag=str(answer.get("ETag", "")),
        version_id=answer.get("VersionId"),
        data_key=seam.materials.status_of(envelope.encrypted_data_keys, envelope.context),
    )


def _s3ec_description(envelope: S3ecEnvelope, answer: dict[str, Any]) -> EnvelopeDescription:
    needed, stored_size = needed_names(envelope), int(answer["ContentLength"])
    return EnvelopeDescription(
        format=needed[0],
        bound=False,
        indexed=False,
        commitment=(envelope.commitment or b"").hex(),
        encryption_context=dict(envelope.description),
        key_hints=(),
        plaintext_size=bodies.plaintext_size(envelope, stored_size),
        ciphertext_size=stored_size,
        etag=str(answer.get("ETag", "")),
        version_id=answer.get("VersionId"),
        data_key=None,
        read_formats=needed,
    )
