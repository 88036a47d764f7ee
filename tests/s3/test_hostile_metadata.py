"""A storage that changes the envelope in the metadata: refused with the right class before anything is released."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from mypy_boto3_s3 import S3Client

from s3envelope import KmsKeyring
from s3envelope.errors import (
    ContextMismatchError,
    HeaderAuthenticationError,
    MalformedEnvelopeError,
    NameBindingError,
    NoMatchingKeyError,
    NotEncryptedError,
    S3EnvelopeError,
    SegmentAuthenticationError,
    UnsupportedFormatError,
)
from s3envelope.testing.local_kms import LocalKms
from tests.support.endpoints import Endpoint
from tests.support.enveloped import enveloped_client, plaintext_of
from tests.support.hostile import BUCKET, KEY, READERS, MemoryStorage, Outcome, Stored

NOWHERE = Endpoint("memory", "http://127.0.0.1:1", "test", "test")
OTHER_KEY = "other"
SIZE = 1000
NAMES = ("se1-h", "se1-k", "se1-x")
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
CONTEXT = {"tenant": "acme"}
EVERY_READER = pytest.mark.parametrize("reader", READERS)


@dataclass(frozen=True, slots=True)
class Victim:
    """A client with a context, the storage that answers it, and a reader that remembers no earlier read."""

    client: S3Client
    storage: MemoryStorage
    keyring: KmsKeyring

    def store(self, key: str = KEY, tenant: str = "acme") -> Stored:
        """Put an object and return what is stored."""
        body, context = plaintext_of(SIZE), {"tenant": tenant}
        self.client.put_object(Bucket=BUCKET, Key=key, Body=body, EncryptionContext=context)  # type: ignore[call-arg]
        return self.storage.stored

    def read(self, reader: str, stored: Stored, folder: Path, key: str = KEY) -> Outcome:
        """Return what a reader released of `stored`, and its error."""
        self.storage.stored = stored
        return READERS[reader](self.client, BUCKET, key, folder)


@pytest.fixture
def victim(keyring: KmsKeyring) -> Iterator[Victim]:
    # No cache: every changed value goes to the KMS.
    client = enveloped_client(NOWHERE, keyring, envelope={"cache_limits": None})
    yield Victim(client, MemoryStorage(client), keyring)
    client.close()


def _variants(character: str) -> list[str]:
    """Return the character with its lowest bit flipped, and the next one of the alphabet of the encoding."""
    flipped = chr(ord(character) ^ 1)
    following = ALPHABET[(ALPHABET.index(character) + 1) % len(ALPHABET)]
    return sorted({flipped, following})


@pytest.mark.parametrize("name", NAMES)
def test_metadata_when_any_character_is_changed_then_refused_and_nothing_released(
    victim: Victim, name: str, tmp_path: Path
) -> None:
    stored = victim.store()
    value = stored.metadata[name]
    readers = list(READERS)
    expected: dict[str, set[type[S3EnvelopeError]]] = {
        "se1-h": {MalformedEnvelopeError, NameBindingError},
        # Where the key service refuses the changed value, no header was tried with any key.
        "se1-k": {MalformedEnvelopeError, HeaderAuthenticationError, NoMatchingKeyError},
        "se1-x": {MalformedEnvelopeError, HeaderAuthenticationError},
    }
    seen = set()

    for index, character in enumerate(value):
        for variant in _variants(character):
            changed = stored.with_metadata(name, value[:index] + variant + value[index + 1 :])
            released, error = victim.read(readers[index % len(readers)], changed, tmp_path)
            assert released == b"", (index, variant)
            seen.add(type(error))

    assert seen == expected[name]


@EVERY_READER
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("edit", ["", "=", "==", "A", " ", "\u00e9"])
def test_metadata_when_value_is_extended_or_emptied_then_malformed(
    victim: Victim, reader: str, name: str, edit: str, tmp_path: Path
) -> None:
    stored = victim.store()
    value = stored.metadata[name] + edit if edit else ""

    released, error = victim.read(reader, stored.with_metadata(name, value), tmp_path)

    assert (type(error), released) == (MalformedEnvelopeError, b"")


@EVERY_READER
@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("se1-h",), MalformedEnvelopeError),
        (("se1-k",), MalformedEnvelopeError),
        (("se1-x",), HeaderAuthenticationError),
        (("se1-h", "se1-k"), MalformedEnvelopeError),
        (NAMES, NotEncryptedError),
    ],
)
def test_metadata_when_values_are_dropped_then_refused(
    victim: Victim, reader: str, names: tuple[str, ...], expected: type[S3EnvelopeError], tmp_path: Path
) -> None:
    stored = victim.store()
    metadata = {name: value for name, value in stored.metadata.items() if name not in names}

    released, error = victim.read(reader, Stored(stored.body, metadata), tmp_path)

    assert (type(error), released) == (expected, b"")


@EVERY_READER
@pytest.mark.parametrize("name", ["se2-h", "se1-z", "se10-h"])
def test_metadata_when_another_format_is_named_beside_then_refused(
    victim: Victim, reader: str, name: str, tmp_path: Path
) -> None:
    released, error = victim.read(reader, victim.store().with_metadata(name, "AAAA"), tmp_path)

    assert (type(error), released) == (UnsupportedFormatError, b"")


@EVERY_READER
def test_metadata_when_names_are_in_title_case_then_read_all_the_same(
    victim: Victim, reader: str, tmp_path: Path
) -> None:
    stored = victim.store()
    titled = Stored(stored.body, {name.title(): value for name, value in stored.metadata.items()})

    released, error = victim.read(reader, titled, tmp_path)

    assert error is None
    assert plaintext_of(SIZE).endswith(released)
    assert len(released) > SIZE // 2


@EVERY_READER
@pytest.mark.parametrize(
    ("body", "metadata", "expected"),
    [
        ("theirs", "theirs", NameBindingError),
        ("ours", "theirs", NameBindingError),
        ("theirs", "ours", SegmentAuthenticationError),
    ],
)
def test_objects_when_swapped_then_refused(
    victim: Victim, reader: str, body: str, metadata: str, expected: type[S3EnvelopeError], tmp_path: Path
) -> None:
    objects = {"ours": victim.store(), "theirs": victim.store(OTHER_KEY)}
    swapped = Stored(objects[body].body, objects[metadata].metadata)

    released, error = victim.read(reader, swapped, tmp_path)

    assert (type(error), released) == (expected, b"")


@EVERY_READER
@pytest.mark.parametrize("key", [KEY, OTHER_KEY])
@pytest.mark.parametrize(
    ("name", "tenant", "expected"),
    [
        ("se1-h", "acme", NameBindingError),
        ("se1-k", "acme", NameBindingError),
        # The key service refuses these: there is no key to try the header with.
        ("se1-k", "umbrella", HeaderAuthenticationError),
        ("se1-x", "umbrella", HeaderAuthenticationError),
    ],
)
def test_metadata_when_one_value_is_another_object_s_then_refused(
    victim: Victim, reader: str, key: str, name: str, tenant: str, expected: type[S3EnvelopeError], tmp_path: Path
) -> None:
    stored, other = victim.store(), victim.store(key, tenant)
    changed = stored.with_metadata(name, other.metadata[name])

    released, error = victim.read(reader, changed, tmp_path)

    assert (type(error), released) == (expected, b"")


@EVERY_READER
def test_metadata_when_newer_than_the_body_then_refused(victim: Victim, reader: str, tmp_path: Path) -> None:
    older, newer = victim.store(), victim.store()

    released, error = victim.read(reader, Stored(newer.body, older.metadata), tmp_path)

    assert (type(error), released) == (SegmentAuthenticationError, b"")


@EVERY_READER
def test_object_when_its_context_is_not_the_demanded_one_then_refused_without_a_key(
    victim: Victim, reader: str, kms: LocalKms, tmp_path: Path
) -> None:
    stored = victim.store(tenant="umbrella")
    client = enveloped_client(NOWHERE, victim.keyring, envelope={"encryption_context": CONTEXT})
    demanding = Victim(client, MemoryStorage(client), victim.keyring)
    kms.clear_calls()

    released, error = demanding.read(reader, stored, tmp_path)

    client.close()
    assert (type(error), released, kms.calls) == (ContextMismatchError, b"", ())


@EVERY_READER
def test_object_when_unbound_but_binding_is_required_then_refused(victim: Victim, reader: str, tmp_path: Path) -> None:
    client = enveloped_client(NOWHERE, victim.keyring, envelope={"bind_key_name": False})
    unbound = Victim(client, MemoryStorage(client), victim.keyring).store()
    client.close()

    released, error = victim.read(reader, unbound, tmp_path)

    assert (type(error), released) == (NameBindingError, b"")


@EVERY_READER
def test_object_when_data_key_is_of_a_foreign_kms_key_then_refused_without_a_decrypt(
    victim: Victim, reader: str, kms: LocalKms, tmp_path: Path
) -> None:
    foreign = KmsKeyring(kms.create_key(), kms.client())
    client = enveloped_client(NOWHERE, foreign)
    planted = Victim(client, MemoryStorage(client), foreign).store()
    client.close()
    kms.clear_calls()

    released, error = victim.read(reader, planted, tmp_path)

    assert (type(error), released) == (NoMatchingKeyError, b"")
    assert kms.count("Decrypt") == 0
