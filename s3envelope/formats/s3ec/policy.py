"""What may be opened: the formats and weak algorithms that the configuration names, and the expected context."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from s3envelope.errors import (
    ConfigurationError,
    ContextMismatchError,
    MalformedEnvelopeError,
    UnsupportedFormatError,
)
from s3envelope.formats import names
from s3envelope.formats.s3ec.model import (
    CEK_ALGORITHM_ENTRY,
    KMS_KEY_ENTRY,
    ContentAlgorithm,
    S3ecEnvelope,
    WrapAlgorithm,
)

_VERSIONS = {1: names.S3EC_V1, 2: names.S3EC_V2, 3: names.S3EC_V3}
_LEGACY_WRAPS = {
    WrapAlgorithm.KMS: names.S3EC_KMS,
    WrapAlgorithm.AES_WRAP: names.S3EC_AES_WRAP,
    WrapAlgorithm.AES_ECB: names.S3EC_AES_ECB,
    WrapAlgorithm.RSA_PKCS1: names.S3EC_RSA_PKCS1,
    WrapAlgorithm.RSA_OAEP_SHA256: names.S3EC_RSA_OAEP_SHA256,
}
_KMS_WRAPS = (WrapAlgorithm.KMS_CONTEXT, WrapAlgorithm.KMS)
RESERVED_ENTRIES = frozenset({CEK_ALGORITHM_ENTRY, KMS_KEY_ENTRY})


def needed_names(envelope: S3ecEnvelope) -> tuple[str, ...]:
    """Return the names that `read_formats` must have for an object: of its version, and of each weak algorithm."""
    needed = [_VERSIONS[envelope.version]]
    if not envelope.content.is_authenticated:
        needed.append(names.S3EC_CBC)
    if envelope.wrap in _LEGACY_WRAPS:
        needed.append(_LEGACY_WRAPS[envelope.wrap])
    return tuple(needed)


class FormatPolicy:
    """Decides from the configuration alone what may be opened.

    Args:
        read_formats: Names of `s3envelope.formats.names`.
    """

    __slots__ = ("_names",)

    def __init__(self, read_formats: Iterable[str]) -> None:
        self._names = frozenset(read_formats)

    def check(self, envelope: S3ecEnvelope) -> None:
        """Refuse what is not named. To be called before any key service is.

        Raises:
            UnsupportedFormatError: A format or an algorithm of the object is not named; the message lists which.
            MalformedEnvelopeError: Its parts are not ones that any client puts together.
        """
        _check_combination(envelope)
        missing = [name for name in needed_names(envelope) if name not in self._names]
        if missing:
            listed = ", ".join(repr(name) for name in missing)
            raise UnsupportedFormatError(
                f"the object is of a format that read_formats does not name; add {listed} to read it"
            )


def _check_combination(envelope: S3ecEnvelope) -> None:
    """Refuse what would take a check away from an object that was written with it."""
    is_v3 = envelope.version == 3
    is_committed = envelope.content is ContentAlgorithm.GCM_COMMITTED
    # INVARIANT: a legacy wrap algorithm has no place in V3, whatever read_formats names.
    if (
        is_v3 != is_committed
        or is_v3 != (envelope.commitment is not None)
        or (is_v3 and envelope.wrap in _LEGACY_WRAPS)
    ):
        raise MalformedEnvelopeError("the object's version, content and wrap algorithm do not belong together")
    # INVARIANT: a context with this entry was made for `kms+context`. Read as `kms`, it would go unchecked.
    if envelope.wrap is WrapAlgorithm.KMS and CEK_ALGORITHM_ENTRY in envelope.description:
        raise MalformedEnvelopeError(
            f"the object's wrap algorithm is 'kms', but its context has the entry {CEK_ALGORITHM_ENTRY}"
        )


def check_caller_context(context: Mapping[str, str]) -> None:
    """Refuse an encryption context of a caller that has a reserved entry.

    Raises:
        ConfigurationError: It has one.
    """
    reserved = sorted(RESERVED_ENTRIES & context.keys())
    if reserved:
        raise ConfigurationError(f"the encryption context has {', '.join(reserved)}; the format reserves it, remove it")


def check_description(envelope: S3ecEnvelope, expected_context: Mapping[str, str]) -> None:
    """Compare the stored context of an object with the expected one. To be called before any key service is.

    With KMS the stored context without its reserved entries must equal the expected one, and what it says of the
    content algorithm must be true. Raw keys authenticate no context, so that none can be expected with them; their
    material description only chooses a key.

    Raises:
        ContextMismatchError: It does not fit.
        ConfigurationError: A reserved entry is expected.
    """
    check_caller_context(expected_context)
    if envelope.wrap not in _KMS_WRAPS:
        if expected_context:
            raise ContextMismatchError(
                "an encryption context is expected, but the object's key is wrapped without one; expect none to read it"
            )
        return
    stored = {name: value for name, value in envelope.description.items() if name not in RESERVED_ENTRIES}
    if stored != dict(expected_context):
        raise ContextMismatchError(
            f"the object's encryption context has {len(stored)} entries and is not the expected one, which has "
            f"{sorted(expected_context)}; names and values must be equal"
        )
    content = envelope.description.get(CEK_ALGORITHM_ENTRY)
    # INVARIANT: the key was made for this content algorithm; another one would use it against its purpose.
    if envelope.wrap is WrapAlgorithm.KMS_CONTEXT and content != envelope.content.value:
        raise ContextMismatchError("the object's key was made for another content algorithm than its metadata says")
