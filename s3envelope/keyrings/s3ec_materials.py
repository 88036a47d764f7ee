"""Several keys of the Amazon formats: one writes, and each object is read with the one that its description names."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from s3envelope.core.secret import SecretBytes
from s3envelope.errors import ConfigurationError, NoMatchingKeyError
from s3envelope.formats.s3ec.model import ContentAlgorithm, S3ecEnvelope, WrapAlgorithm
from s3envelope.formats.s3ec.ports import S3ecDataKey, S3ecKeyring


class S3ecMaterials:
    """Chooses among keyrings of the Amazon formats, by wrap algorithm and by the whole material description.

    A keyring that has a description reads the objects that have exactly it; one that has none reads what is left, and
    so does a KMS key. An object is opened by one keyring: if that fails, no other is tried.

    Args:
        default: Makes the data keys of what is written.
        others: Only read.

    Raises:
        ConfigurationError: One of them is no keyring of these formats, or two would read the same objects.
    """

    def __init__(self, default: S3ecKeyring, *others: S3ecKeyring) -> None:
        self._keyrings = (default, *others)
        for keyring in self._keyrings:
            if not isinstance(keyring, S3ecKeyring):
                raise ConfigurationError(
                    f"S3ecMaterials takes keyrings of the Amazon formats; one of them is a {type(keyring).__name__}"
                )
        for one, two in itertools.combinations(self._keyrings, 2):
            if one.s3ec_wraps & two.s3ec_wraps and _description(one) == _description(two):
                raise ConfigurationError(f"{one!r} and {two!r} read the same objects; give each a material_description")

    @property
    def s3ec_wraps(self) -> frozenset[WrapAlgorithm]:
        """Those of all keyrings."""
        return frozenset().union(*(keyring.s3ec_wraps for keyring in self._keyrings))

    def make_s3ec_data_key(self, content: ContentAlgorithm, context: Mapping[str, str]) -> S3ecDataKey:
        """Return a data key of the default keyring.

        Raises:
            ConfigurationError: It takes no such context, or cannot encrypt.
            KeyringError: Its key service refuses or cannot be reached.
        """
        return self._keyrings[0].make_s3ec_data_key(content, context)

    def open_s3ec_data_key(self, envelope: S3ecEnvelope) -> SecretBytes:
        """See `S3ecKeyring`.

        Raises:
            NoMatchingKeyError: No keyring is for this wrap algorithm and description.
            S3ecDecryptionError: The keyring that is for it does not open it.
            KeyringError: Its key service refuses or cannot be reached.
        """
        # Stable: those that name a description come before one that takes whatever is left.
        for keyring in sorted(self._keyrings, key=lambda each: _description(each) is None):
            if envelope.wrap not in keyring.s3ec_wraps:
                continue
            try:
                return keyring.open_s3ec_data_key(envelope)
            except NoMatchingKeyError:
                continue
        raise NoMatchingKeyError(
            f"no keyring is for the object's wrap algorithm {envelope.wrap.value} and material description"
        )

    def __repr__(self) -> str:
        return f"S3ecMaterials({', '.join(map(repr, self._keyrings))})"


def _description(keyring: S3ecKeyring) -> Mapping[str, str] | None:
    """Return the description that a keyring is for; a KMS key has none."""
    description: Mapping[str, str] | None = getattr(keyring, "material_description", None)
    return description
