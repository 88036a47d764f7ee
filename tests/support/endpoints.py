"""Where an S3 server of the tests listens, and plain boto3 clients of it."""

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An S3 endpoint and credentials that it accepts.

    Attributes:
        name: Of the server: "moto", "seaweedfs" or "juicefs".
        ca_file: To pass as `verify`; None over http.
    """

    name: str
    url: str
    access_key: str
    secret_key: str
    region: str = "us-east-1"
    ca_file: str | None = None

    def behind(self, url: str, *, ca_file: str | None = None) -> "Endpoint":
        """Return the same server as reached through a proxy."""
        return replace(self, url=url, ca_file=ca_file)

    def client_arguments(self, **config: Any) -> dict[str, Any]:
        """Return the arguments that make `boto3.client("s3", ...)` talk to this endpoint.

        Args:
            config: Fields of botocore's `Config`, over the defaults: path style, one attempt, a short wait.
        """
        fields: dict[str, Any] = {
            "s3": {"addressing_style": "path"},
            # Named, for not every botocore has this mode by default: in it alone each last attempt is marked as one.
            "retries": {"mode": "standard", "total_max_attempts": 1},
            "connect_timeout": 10,
            "read_timeout": 60,
            **config,
        }
        arguments: dict[str, Any] = {
            "endpoint_url": self.url,
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
            "region_name": self.region,
            "config": Config(**fields),
        }
        if self.ca_file is not None:
            arguments["verify"] = self.ca_file
        return arguments

    def client(self, **config: Any) -> "S3Client":
        """Return a plain boto3 client."""
        client: S3Client = _plain_session().client("s3", **self.client_arguments(**config))
        return client


@functools.lru_cache(maxsize=1)
def _plain_session() -> boto3.session.Session:
    """Return the one session of all plain clients: each new one would parse the model of S3 again."""
    return boto3.session.Session()
