"""`s3envelope doctor`: whether a key and a bucket are what this library needs, and what to do where they are not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click
from botocore.exceptions import BotoCoreError, ClientError
from rich.table import Table

from s3envelope.cli.failures import explain
from s3envelope.cli.options import Connection, connection_options
from s3envelope.cli.output import plain, stdout
from s3envelope.core.context import EncryptionContext
from s3envelope.errors import S3EnvelopeError
from s3envelope.keyrings.kms import KmsKeyring, check_key_id
from s3envelope.keyrings.kms_errors import as_keyring_error, error_code
from s3envelope.s3.config import make_config
from s3envelope.s3.install import install

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

_CONTEXT = EncryptionContext({"purpose": "doctor"})
_ALLOWED = "DryRunOperationException"
_ENABLED = "Enabled"
_ORIGINS = {
    "AWS_KMS": "made by KMS",
    "EXTERNAL": "imported: it can expire, and KMS does not rotate it by itself",
    "AWS_CLOUDHSM": "in a CloudHSM key store: it must be connected",
    "EXTERNAL_KEY_STORE": "in a key store outside of AWS: it must be connected",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Args:
        what: What it is.
        is_good: `None` where nothing can be wrong.
        answer: What was found, and what to do if it is not good.
    """

    what: str
    is_good: bool | None
    answer: str


@click.command()
@click.option("--kms-key", required=True, metavar="ID", help="KMS key id, ARN or alias.")
@click.option("--bucket", metavar="NAME", help="Also look at this bucket: an object is written, read and deleted.")
@connection_options()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def doctor(*, kms_key: str, bucket: str | None, connection: Connection, as_json: bool) -> int:
    """Look at a KMS key, at what this identity may do with it, and at a bucket.

    What may be done is asked by dry runs. Exit code 0 only if everything is as it must be.
    """
    check_key_id(kms_key)
    findings = list(_findings(connection, kms_key, bucket))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings]))
    else:
        _show(findings)
    return 0 if all(finding.is_good is not False for finding in findings) else 1


def _findings(connection: Connection, key_id: str, bucket: str | None) -> Iterator[Finding]:
    session = connection.session()
    with closing(connection.kms(session, key_id)) as kms:
        yield from _key_findings(kms, key_id)
        keyring = KmsKeyring(key_id, kms)
        yield from _permission_findings(kms, keyring, key_id)
        if bucket is None:
            return
        install(session, make_config({"keyring": keyring, "cache_limits": None}, os.environ))
        with closing(connection.s3(session)) as client:
            yield from _bucket_findings(client, bucket)


def _key_findings(kms: KMSClient, key_id: str) -> Iterator[Finding]:
    try:
        found: dict[str, Any] = dict(kms.describe_key(KeyId=key_id)["KeyMetadata"])
    except (ClientError, BotoCoreError) as error:
        yield Finding("key", False, _told(error, "kms:DescribeKey", key_id))
        return
    yield Finding("key", None, found["Arn"])
    is_ours = found.get("KeyManager") == "CUSTOMER"
    yield Finding(
        "manager", is_ours, "CUSTOMER" if is_ours else "AWS: only AWS services can use it; make a key of your own"
    )
    spec, usage = found.get("KeySpec", ""), found.get("KeyUsage", "")
    is_fit = spec == "SYMMETRIC_DEFAULT" and usage == "ENCRYPT_DECRYPT"
    yield Finding("spec", is_fit, f"{spec}, {usage}" + ("" if is_fit else ": use a symmetric encryption key"))
    state = found.get("KeyState", "")
    until = found.get("DeletionDate")
    yield Finding(
        "state", state == _ENABLED, state + (f" until {until:%Y-%m-%d}: cancel the deletion" if until else "")
    )
    origin = found.get("Origin", "")
    yield Finding("origin", None, f"{origin}: {_ORIGINS.get(origin, 'unknown')}")
    yield Finding("multi-Region", None, _regions(found))
    yield _rotation(kms, found["Arn"])


def _regions(found: dict[str, Any]) -> str:
    if not found.get("MultiRegion"):
        return "no"
    layout = found.get("MultiRegionConfiguration", {})
    keys = [layout.get("PrimaryKey", {}), *layout.get("ReplicaKeys", [])]
    return f"{layout.get('MultiRegionKeyType', '')} in {', '.join(str(key.get('Region')) for key in keys)}"


def _rotation(kms: KMSClient, arn: str) -> Finding:
    try:
        answer: dict[str, Any] = dict(kms.get_key_rotation_status(KeyId=arn))
    except (ClientError, BotoCoreError) as error:
        return Finding("rotation", None, "not known: " + _told(error, "kms:GetKeyRotationStatus", arn))
    if not answer.get("KeyRotationEnabled"):
        return Finding("rotation", None, "off")
    period = answer.get("RotationPeriodInDays")
    return Finding("rotation", None, "on" + (f", every {period} days" if period else ""))


def _permission_findings(kms: KMSClient, keyring: KmsKeyring, key_id: str) -> Iterator[Finding]:
    context = _CONTEXT.for_key_service()
    made = _dry(
        "kms:GenerateDataKey",
        key_id,
        lambda: kms.generate_data_key(KeyId=key_id, KeySpec="AES_256", EncryptionContext=context, DryRun=True),
    )
    yield made
    try:
        data_key = keyring.generate_data_key(_CONTEXT)
    except S3EnvelopeError as error:
        for action in ("kms:Decrypt", "kms:ReEncrypt*"):
            yield Finding(action, None, "not known: there is no data key to try it with")
        if made.is_good:
            yield Finding("data key", False, str(error))
        return
    data_key.plaintext.wipe()
    blob = data_key.encrypted[0].ciphertext
    yield _dry(
        "kms:Decrypt",
        key_id,
        lambda: kms.decrypt(KeyId=key_id, CiphertextBlob=blob, EncryptionContext=context, DryRun=True),
    )
    yield _dry(
        "kms:ReEncrypt*",
        key_id,
        lambda: kms.re_encrypt(
            CiphertextBlob=blob,
            SourceKeyId=key_id,
            DestinationKeyId=key_id,
            SourceEncryptionContext=context,
            DestinationEncryptionContext=context,
            DryRun=True,
        ),
        is_needed=False,
    )


def _dry(action: str, key_id: str, call: Callable[[], object], *, is_needed: bool = True) -> Finding:
    try:
        call()
    except ClientError as error:
        if error_code(error) == _ALLOWED:
            return Finding(action, True, "allowed")
        return Finding(action, False if is_needed else None, _told(error, action, key_id))
    except BotoCoreError as error:
        return Finding(action, False, _told(error, action, key_id))
    return Finding(action, None, "not known: the server does not understand dry runs")


def _told(error: Exception, action: str, key_id: str) -> str:
    if isinstance(error, ClientError):
        return str(as_keyring_error(error, action, key_id))
    return explain(error).line


def _bucket_findings(client: Any, bucket: str) -> Iterator[Finding]:
    try:
        client.head_bucket(Bucket=bucket)
        yield Finding("bucket", True, "reachable")
        yield _round_trip(client, bucket)
    except (ClientError, BotoCoreError, S3EnvelopeError, OSError) as error:
        yield Finding("bucket", False, explain(error).line)


def _round_trip(client: Any, bucket: str) -> Finding:
    where = {"Bucket": bucket, "Key": f"s3envelope-doctor-{os.urandom(8).hex()}"}
    body = os.urandom(100_000)
    version = client.put_object(**where, Body=body).get("VersionId")
    try:
        is_same = client.get_object(**where)["Body"].read() == body
    finally:
        client.delete_object(**where, **({"VersionId": version} if version else {}))
    return Finding("round trip", is_same, "an object of 100,000 bytes was written, read and deleted")


def _show(findings: list[Finding]) -> None:
    table = Table(show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    words = {True: "good", False: "BAD", None: ""}
    for finding in findings:
        table.add_row(words[finding.is_good], finding.what, plain(finding.answer))
    stdout().print(table)
