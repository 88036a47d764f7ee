"""Amazon's own two ways to encrypt on the client: the encryption client for S3, and the SDK for bytes of any kind."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from benchmarks.clients import BUCKET, CREDENTIALS, MIB, PLAIN, Place, make_client, transfer_config
from benchmarks.subjects import UnsupportedCallError

_CACHE_CAPACITY = 100
_CACHE_SECONDS = 300.0


def _kms_client(place: Place) -> Any:
    return boto3.client("kms", endpoint_url=place.kms_url, config=Config(proxies={}), **CREDENTIALS)


class AmazonSubject:
    """amazon-s3-encryption-client-python as it comes. It has no cache of data keys, and no `download_file`."""

    def __init__(self, place: Place) -> None:
        from s3_encryption import S3EncryptionClient, S3EncryptionClientConfig
        from s3_encryption.materials.kms_keyring import KmsKeyring

        self._inner = make_client(PLAIN, place)
        keyring = KmsKeyring(_kms_client(place), place.kms_key_id)
        self._client: Any = S3EncryptionClient(self._inner, S3EncryptionClientConfig(keyring))

    def put(self, key: str, plaintext: bytes) -> None:
        self._client.put_object(Bucket=BUCKET, Key=key, Body=plaintext)

    def get(self, key: str) -> bytes:
        content: bytes = self._client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content

    def upload(self, file: Path, key: str) -> None:
        self._client.upload_file(str(file), BUCKET, key)

    def download(self, key: str, file: Path) -> None:
        # Its download_file is that of the client inside, and would write ciphertext.
        with file.open("wb") as target:
            shutil.copyfileobj(self._client.get_object(Bucket=BUCKET, Key=key)["Body"], target, MIB)

    def range(self, key: str, start: int, size: int) -> bytes:
        raise UnsupportedCallError("its get_object refuses Range: a body is one message, verified as a whole")

    def rewrap(self, key: str) -> None:
        self.put(key, self.get(key))

    def close(self) -> None:
        self._inner.close()


class EncryptionSdkSubject:
    """aws-encryption-sdk with its caching materials manager, around plain boto3; objects are in memory as a whole."""

    def __init__(self, place: Place) -> None:
        import aws_encryption_sdk
        from aws_encryption_sdk.key_providers.kms import KMSMasterKey

        self._client: Any = make_client(PLAIN, place)
        self._sdk: Any = aws_encryption_sdk.EncryptionSDKClient()
        self._manager = aws_encryption_sdk.CachingCryptoMaterialsManager(
            master_key_provider=KMSMasterKey(key_id=place.kms_key_id, client=_kms_client(place)),
            cache=aws_encryption_sdk.LocalCryptoMaterialsCache(_CACHE_CAPACITY),
            max_age=_CACHE_SECONDS,
        )

    def put(self, key: str, plaintext: bytes) -> None:
        self._client.put_object(Bucket=BUCKET, Key=key, Body=self._encrypted(plaintext))

    def get(self, key: str) -> bytes:
        return self._decrypted(self._client.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def upload(self, file: Path, key: str) -> None:
        body = io.BytesIO(self._encrypted(file.read_bytes()))
        self._client.upload_fileobj(body, BUCKET, key, Config=transfer_config())

    def download(self, key: str, file: Path) -> None:
        body = io.BytesIO()
        self._client.download_fileobj(BUCKET, key, body, Config=transfer_config())
        file.write_bytes(self._decrypted(body.getvalue()))

    def range(self, key: str, start: int, size: int) -> bytes:
        raise UnsupportedCallError("it decrypts a message from its start only, so that a range costs the whole object")

    def rewrap(self, key: str) -> None:
        self.put(key, self.get(key))

    def close(self) -> None:
        self._client.close()

    def _encrypted(self, plaintext: bytes) -> bytes:
        ciphertext: bytes = self._sdk.encrypt(source=plaintext, materials_manager=self._manager)[0]
        return ciphertext

    def _decrypted(self, ciphertext: bytes) -> bytes:
        plaintext: bytes = self._sdk.decrypt(source=ciphertext, materials_manager=self._manager)[0]
        return plaintext
