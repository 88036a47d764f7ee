"""Asynchronous clients: those of aiobotocore and aioboto3, enveloped. Needs the extra `[async]`.

async with s3envelope.aio.client("s3", kms_key_id="alias/orders") as s3:
    await s3.put_object(Bucket="b", Key="k", Body=b"...")
"""

from s3envelope.aio.sessions import Session, client, install

__all__ = ["Session", "client", "install"]
