"""Where things are copied from and to."""

from __future__ import annotations

import re
from dataclasses import dataclass

import click

STREAM = "-"
_ACCESS_POINT = r"arn:aws[a-z-]*:s3[a-z-]*:[^/:]*:[^/:]*:(?:outpost[/:][^/:]+[/:])?accesspoint[/:][^/:]+"
_S3_URL = re.compile(rf"s3://({_ACCESS_POINT}|[^/:]+)(?:/(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class S3Location:
    """An object, or, with an empty key or one that ends in a slash, a place for some."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @property
    def is_folder(self) -> bool:
        """Whether a name must be appended to get an object."""
        return not self.key or self.key.endswith("/")


def is_s3(text: str) -> bool:
    """Tell whether a location is meant to be in S3."""
    return text.lower().startswith("s3://")


def parse_s3(text: str) -> S3Location:
    """Read `s3://bucket/key`.

    Raises:
        click.UsageError: It is something else.
    """
    match = _S3_URL.fullmatch("s3://" + text[5:]) if is_s3(text) else None
    if match is None:
        raise click.UsageError(f"{text!r} is no S3 location; use s3://BUCKET/KEY")
    return S3Location(match.group(1), match.group(2) or "")


def parse_object(text: str) -> S3Location:
    """Read the location of one object.

    Raises:
        click.UsageError: It is something else, or has no key.
    """
    location = parse_s3(text)
    if not location.key:
        raise click.UsageError(f"{text!r} names a bucket; use s3://BUCKET/KEY")
    return location
