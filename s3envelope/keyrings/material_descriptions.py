"""How raw keys of the Amazon formats are told apart: by a description that is stored beside each object."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from s3envelope.errors import ConfigurationError, NoMatchingKeyError
from s3envelope.formats.s3ec.model import S3ecEnvelope, WrapAlgorithm


def check_material_description(entries: object) -> Mapping[str, str] | None:
    """Return a copy of a material description that cannot change; `None` for none.

    Raises:
        ConfigurationError: It is no mapping of strings to strings.
    """
    if entries is None:
        return None
    if not isinstance(entries, Mapping):
        raise ConfigurationError(f"material_description is a {type(entries).__name__}; use a mapping of str to str")
    for name, value in entries.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise ConfigurationError(
                f"material_description maps {type(name).__name__} to {type(value).__name__}; use str for both"
            )
    return MappingProxyType(dict(entries))


def check_no_context(context: Mapping[str, str]) -> None:
    """Refuse an encryption context, which a raw key could not authenticate.

    Raises:
        ConfigurationError: There is one.
    """
    if context:
        raise ConfigurationError(
            f"an encryption context with the names {sorted(context)} is given, but a raw key of an Amazon format "
            "authenticates none; use a KMS key, or give no context"
        )


def check_is_own(
    envelope: S3ecEnvelope, wraps: frozenset[WrapAlgorithm], description: Mapping[str, str] | None, keyring: str
) -> None:
    """Refuse an object of another wrap algorithm, or of another description where the keyring has one.

    Args:
        description: The keyring's own; `None` takes objects of every description.
        keyring: Its name for the message.

    Raises:
        NoMatchingKeyError: The object is not this keyring's.
    """
    if envelope.wrap not in wraps:
        raise NoMatchingKeyError(f"{keyring} does not unwrap data keys of {envelope.wrap.value}")
    if description is not None and dict(envelope.description) != dict(description):
        raise NoMatchingKeyError(f"the object's material description is not that of {keyring}")
