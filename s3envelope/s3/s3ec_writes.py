"""Writing in the formats of the Amazon clients: put_object, and the instruction file of any object.

An object with an instruction file takes two requests, and no order of them is safe from everything. The object goes
first: a put that S3 refuses, or that never arrives, leaves the old object and its old instruction file as they were.
Whoever ends between the two leaves an object without its instruction file, or with that of the object before it: it
does not open, and is to be put again. So it is when two writers put one key at the same time.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from s3envelope.core.occurrences import ObjectName
from s3envelope.engine.messages import PlaintextLog, SealedMessage, WholeMessage, sealed_message
from s3envelope.errors import InstructionFileError
from s3envelope.s3.auditing import begin_sealing
from s3envelope.s3.bodies import SpilledBody, UploadBody
from s3envelope.s3.calls import Call
from s3envelope.s3.s3ec_messages import MessageMaker, NewMessage
from s3envelope.s3.spilling import spill
from s3envelope.s3.writes import (
    ENTRIES_PARAMETER,
    PART_SIZE_PARAMETER,
    PLAINTEXT_SIZE_PARAMETER,
    refuse_append,
    take_body,
    validate,
)

if TYPE_CHECKING:
    from botocore.model import OperationModel

    from s3envelope.s3.seam import Seam

# Whoever may read, own, pay for, keep or expire the object does so with its instruction file.
_SHARED = (
    "ACL",
    "BucketKeyEnabled",
    "ChecksumAlgorithm",
    "ExpectedBucketOwner",
    "GrantFullControl",
    "GrantRead",
    "GrantReadACP",
    "GrantWriteACP",
    "ObjectLockLegalHoldStatus",
    "ObjectLockMode",
    "ObjectLockRetainUntilDate",
    "RequestPayer",
    "SSECustomerAlgorithm",
    "SSECustomerKey",
    "SSECustomerKeyMD5",
    "SSEKMSEncryptionContext",
    "SSEKMSKeyId",
    "ServerSideEncryption",
    "Tagging",
)
_MARKER = {"x-amz-crypto-instr-file": ""}


def prepare_s3ec_put(seam: Seam, call: Call, parameters: dict[str, Any], model: OperationModel) -> None:
    """Seal the body of a put_object as one message; rewrite `parameters` in place."""
    entries = parameters.pop(ENTRIES_PARAMETER, None)
    parameters.pop(PART_SIZE_PARAMETER, None)
    parameters.pop(PLAINTEXT_SIZE_PARAMETER, None)
    validate(parameters, model)
    refuse_append(parameters)
    maker = MessageMaker.of(seam)
    user_metadata = parameters.get("Metadata") or {}
    name = ObjectName(parameters["Bucket"], parameters["Key"])
    context = seam.config.context_for(*name, entries)
    maker.check(context, user_metadata)
    given = take_body(parameters)
    if given.stream is not None:
        new = maker.make(name, context, user_metadata, given.declared_size)
        call.cleanups.append(new.sealer.wipe)
        seal = functools.partial(sealed_message, sealer=new.sealer)
        sealed: UploadBody | SpilledBody = spill(seam, call, given.stream, seal, given.declared_size)[0]
    else:
        source = given.source()
        new = maker.make(name, context, user_metadata, source.size)
        call.cleanups.append(new.sealer.wipe)
        whole = WholeMessage(new.sealer, PlaintextLog(seam.ports.random))
        message = SealedMessage(source, whole, process_id=seam.ports.process_id)
        sealed = UploadBody(message, given.content)
    call.on_success = instruction_writer(seam, parameters, new)
    begin_sealing(seam, call, parameters, new.commitment, context)
    call.body = sealed
    call.envelope = new.entries
    parameters["Body"] = sealed
    parameters["Metadata"] = new.metadata


class InstructionWriter:
    """Puts the instruction file of an object that S3 has stored.

    Args:
        parameters: Of the put or of the upload.
    """

    def __init__(self, seam: Seam, parameters: Mapping[str, Any], content: bytes) -> None:
        self._seam = seam
        self._content = content
        self._request = {name: parameters[name] for name in ("Bucket", *_SHARED) if name in parameters}
        self._request["Key"] = parameters["Key"] + seam.config.instruction_suffix

    def __call__(self, _: object = None) -> None:
        """Put it.

        Raises:
            InstructionFileError: S3 refused it, or could not be reached: the object cannot be read.
        """
        body = SpilledBody(io.BytesIO(self._content), len(self._content))
        request = {**self._request, "Body": body, "ContentType": "application/json", "Metadata": _MARKER}
        try:
            self._seam.inner("PutObject", request)
        except (ClientError, BotoCoreError) as error:
            raise InstructionFileError(self._request["Bucket"], self._request["Key"], self._content) from error


def instruction_writer(seam: Seam, parameters: Mapping[str, Any], new: NewMessage) -> InstructionWriter | None:
    """Return what puts the instruction file; `None` if the envelope is in the object's metadata."""
    return None if new.instruction is None else InstructionWriter(seam, parameters, new.instruction)
