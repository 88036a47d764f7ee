"""The raw RSA keyring: what Java wraps, what it refuses, and that a bad padding tells nothing."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from s3envelope import RawRsaKeyring, S3ecKeyring
from s3envelope.core.ports import Keyring
from s3envelope.core.secret import overwrite_bytes
from s3envelope.errors import ConfigurationError, NoMatchingKeyError, S3ecDecryptionError
from s3envelope.formats.s3ec import keys, metadata, policy
from s3envelope.formats.s3ec.model import ContentAlgorithm, S3ecEnvelope, WrapAlgorithm
from s3envelope.keyrings import raw_rsa
from tests.support import s3ec_samples as samples
from tests.support.s3ec_samples import JAVA, PLAINTEXT, Sample, b64

DATA_KEY = JAVA["data_key"]
_LOADED = load_der_private_key(JAVA["rsa_private_key"], None)
assert isinstance(_LOADED, RSAPrivateKey)
PRIVATE = _LOADED
PUBLIC = PRIVATE.public_key()
V2 = metadata.parse(samples.v2().metadata)
V3 = metadata.parse(samples.v3().metadata)
OAEP_SHA1 = padding.OAEP(padding.MGF1(SHA1()), SHA1(), None)  # noqa: S303
OAEP_SHA256 = padding.OAEP(padding.MGF1(SHA1()), SHA256(), None)  # noqa: S303
Spoil = Callable[[bytes], bytes]


@pytest.fixture(scope="module")
def keyring() -> RawRsaKeyring:
    return RawRsaKeyring(private_key=PRIVATE, public_key=PUBLIC)


@pytest.fixture(scope="module")
def other_key() -> RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def _wrapped(encrypted: bytes, wrap: WrapAlgorithm, like: S3ecEnvelope = V2) -> S3ecEnvelope:
    return dataclasses.replace(like, encrypted_data_key=encrypted, wrap=wrap)


def _opened(keyring: RawRsaKeyring, envelope: S3ecEnvelope) -> bytes:
    with keyring.open_s3ec_data_key(envelope) as data_key:
        return bytes(data_key.view())


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("RSA-OAEP-SHA1", V2),
        ("22", V3),
        ("RSA", V2),
        ("RSA/ECB/OAEPWithSHA-256AndMGF1Padding", V2),
    ],
)
def test_data_key_when_java_wrapped_it_then_it_opens(keyring: RawRsaKeyring, name: str, like: S3ecEnvelope) -> None:
    wrap = WrapAlgorithm.RSA_OAEP_SHA1 if name == "22" else WrapAlgorithm(name)

    assert _opened(keyring, _wrapped(JAVA[name], wrap, like)) == DATA_KEY


@pytest.mark.parametrize("like", [V2, V3])
def test_data_key_when_made_then_it_stands_between_its_length_and_its_algorithm(
    keyring: RawRsaKeyring, like: S3ecEnvelope
) -> None:
    made = keyring.make_s3ec_data_key(like.content, {})

    block = PRIVATE.decrypt(made.encrypted, OAEP_SHA1)
    assert block == b"\x20" + bytes(made.plaintext.view()) + like.content.value.encode()
    assert (made.wrap, made.description) == (WrapAlgorithm.RSA_OAEP_SHA1, {})
    assert _opened(keyring, _wrapped(made.encrypted, made.wrap, like)) == bytes(made.plaintext.view())
    assert keyring.make_s3ec_data_key(like.content, {}).plaintext != made.plaintext


@pytest.mark.parametrize("version", [2, 3])
def test_object_when_written_with_a_public_key_then_the_private_one_reads_it(version: int) -> None:
    written = RawRsaKeyring(public_key=PUBLIC).make_s3ec_data_key(keys.content_of(version), {})
    envelope = metadata.parse(metadata.write_metadata(keys.new_envelope(version, written, lambda size: b"r" * size)))

    policy.FormatPolicy([f"s3ec-v{version}"]).check(envelope)

    assert _opened(RawRsaKeyring(private_key=PRIVATE), envelope) == bytes(written.plaintext.view())


def test_keyring_when_it_has_one_key_then_it_does_one_thing() -> None:
    reads, writes = RawRsaKeyring(private_key=PRIVATE), RawRsaKeyring(public_key=PUBLIC)

    for each in (reads, writes):
        assert isinstance(each, S3ecKeyring)
        assert not isinstance(each, Keyring)
    assert writes.s3ec_wraps == frozenset()
    with pytest.raises(ConfigurationError, match="public key"):
        reads.make_s3ec_data_key(ContentAlgorithm.GCM, {})
    with pytest.raises(NoMatchingKeyError):
        writes.open_s3ec_data_key(_wrapped(JAVA["RSA-OAEP-SHA1"], WrapAlgorithm.RSA_OAEP_SHA1))
    assert repr(reads) == "<RawRsaKeyring with a private key>"


def test_context_when_it_is_not_empty_then_nothing_is_made(keyring: RawRsaKeyring) -> None:
    with pytest.raises(ConfigurationError, match="tenant"):
        keyring.make_s3ec_data_key(ContentAlgorithm.GCM, {"tenant": "acme"})


@pytest.mark.parametrize(
    "block",
    [
        b"\x10" + DATA_KEY[:16] + b"AES/GCM/NoPadding",
        b"\x1f" + DATA_KEY[:31] + b"AES/GCM/NoPadding",
        b"\x21" + DATA_KEY + b"\0" + b"AES/GCM/NoPadding",
        b"\x10" + DATA_KEY + b"AES/GCM/NoPadding",
        b"\x20" + DATA_KEY + b"115",
        b"\x20" + DATA_KEY + b"AES/CBC/PKCS5Padding",
        b"\x20" + DATA_KEY + b"AES/GCM/NoPaddin",
        b"\x20" + DATA_KEY + b"AES/GCM/NoPadding\0",
        b"\x20" + DATA_KEY,
        DATA_KEY,
        b"\x20",
        b"",
    ],
)
def test_oaep_when_length_or_algorithm_inside_is_another_then_it_does_not_open(
    keyring: RawRsaKeyring, block: bytes
) -> None:
    envelope = _wrapped(PUBLIC.encrypt(block, OAEP_SHA1), WrapAlgorithm.RSA_OAEP_SHA1)

    with pytest.raises(S3ecDecryptionError):
        keyring.open_s3ec_data_key(envelope)


def test_oaep_when_a_key_of_v2_is_put_into_v3_then_it_does_not_open(keyring: RawRsaKeyring) -> None:
    for name, like in (("RSA-OAEP-SHA1", V3), ("22", V2)):
        with pytest.raises(S3ecDecryptionError):
            keyring.open_s3ec_data_key(_wrapped(JAVA[name], WrapAlgorithm.RSA_OAEP_SHA1, like))


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_oaep_sha256_when_the_key_has_not_32_bytes_then_it_does_not_open(keyring: RawRsaKeyring, size: int) -> None:
    envelope = _wrapped(PUBLIC.encrypt(bytes(size), OAEP_SHA256), WrapAlgorithm.RSA_OAEP_SHA256)

    with pytest.raises(S3ecDecryptionError):
        keyring.open_s3ec_data_key(envelope)


@pytest.mark.parametrize("wrap", [WrapAlgorithm.RSA_OAEP_SHA1, WrapAlgorithm.RSA_OAEP_SHA256])
def test_oaep_when_anything_is_wrong_then_the_error_is_the_same(
    keyring: RawRsaKeyring, other_key: RSAPrivateKey, wrap: WrapAlgorithm
) -> None:
    right = JAVA[wrap.value]
    scheme = OAEP_SHA1 if wrap is WrapAlgorithm.RSA_OAEP_SHA1 else OAEP_SHA256
    wrong = [
        right[:-1] + bytes([right[-1] ^ 1]),
        right[:-1],
        right + b"\0",
        b"\xff" * 256,
        bytes(256),
        b"x",
        other_key.public_key().encrypt(DATA_KEY, scheme),
        JAVA["RSA"],
        PUBLIC.encrypt(b"short", scheme),
    ]

    texts = set()
    for encrypted in wrong:
        with pytest.raises(S3ecDecryptionError) as caught:
            keyring.open_s3ec_data_key(_wrapped(encrypted, wrap))
        assert caught.value.__cause__ is None
        texts.add(str(caught.value))
    assert len(texts) == 1


BROKEN_BLOCKS: list[Spoil] = [
    lambda right: right[:-1] + bytes([right[-1] ^ 1]),
    lambda right: right[:-1],
    lambda right: right + b"\0",
    lambda right: bytes(255) + b"\x02",
    lambda right: b"\xff" * 256,
    lambda right: bytes(256),
    lambda right: PUBLIC.encrypt(DATA_KEY[:31], padding.PKCS1v15()),
    lambda right: PUBLIC.encrypt(DATA_KEY + b"\0", padding.PKCS1v15()),
    lambda right: PUBLIC.encrypt(b"", padding.PKCS1v15()),
    lambda right: PUBLIC.encrypt(DATA_KEY, OAEP_SHA1),
]


@pytest.mark.parametrize("spoil", BROKEN_BLOCKS)
def test_pkcs1_when_its_padding_is_broken_then_a_key_comes_out_as_if_it_were_right(
    keyring: RawRsaKeyring, spoil: Spoil
) -> None:
    envelope = _wrapped(spoil(JAVA["RSA"]), WrapAlgorithm.RSA_PKCS1)

    substitute = _opened(keyring, envelope)

    assert len(substitute) == 32
    assert substitute != DATA_KEY
    # In another process too, or reading twice would tell what one reading does not.
    assert _opened(RawRsaKeyring(private_key=PRIVATE), envelope) == substitute


def test_pkcs1_when_two_blocks_are_broken_then_their_substitutes_differ(keyring: RawRsaKeyring) -> None:
    found = {_opened(keyring, _wrapped(spoil(JAVA["RSA"]), WrapAlgorithm.RSA_PKCS1)) for spoil in BROKEN_BLOCKS}

    assert len(found) == len(BROKEN_BLOCKS)


def test_pkcs1_when_another_private_key_opens_then_its_substitutes_are_others(
    keyring: RawRsaKeyring, other_key: RSAPrivateKey
) -> None:
    other = RawRsaKeyring(private_key=other_key)
    envelope = _wrapped(b"x", WrapAlgorithm.RSA_PKCS1)

    assert _opened(keyring, envelope) != _opened(other, envelope)


@pytest.mark.parametrize("backend_raises", [False, True])
def test_pkcs1_when_the_library_tells_of_a_bad_padding_then_the_keyring_does_not(
    keyring: RawRsaKeyring, backend_raises: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older OpenSSL raises; newer ones return bytes of any length. Both must look like a right block."""

    class Telling:
        def decrypt(self, ciphertext: bytes, scheme: object) -> bytes:
            if backend_raises:
                raise ValueError("Decryption failed")
            return bytes(77)

    monkeypatch.setattr(keyring, "_private", Telling())

    first, again = (_opened(keyring, _wrapped(b"block", WrapAlgorithm.RSA_PKCS1)) for _ in range(2))

    assert first == again
    assert len(first) == 32


def _v1_rsa(encrypted: bytes, stored: bytes) -> Sample:
    return dataclasses.replace(samples.v1().edited({"x-amz-key": b64(encrypted)}), stored=stored)


def test_v1_object_when_wrapped_by_rsa_then_it_is_read_and_any_change_has_one_error(keyring: RawRsaKeyring) -> None:
    stored = samples.cbc(samples.padded(PLAINTEXT), DATA_KEY)
    texts = set()

    assert samples.read(_v1_rsa(JAVA["RSA"], stored), keyring) == PLAINTEXT
    bad_padding = PUBLIC.encrypt(DATA_KEY, OAEP_SHA1)
    for encrypted, body in (
        (bad_padding, stored),
        (PUBLIC.encrypt(bytes(32), padding.PKCS1v15()), stored),
        (JAVA["RSA"], samples.cbc(PLAINTEXT[:32] + bytes(16), DATA_KEY)),
        (JAVA["RSA"], stored[:-1]),
    ):
        try:
            read = samples.read(_v1_rsa(encrypted, body), keyring)
        except S3ecDecryptionError as error:
            texts.add(str(error))
        else:
            # One wrong key in 256 leaves a padding that looks right: V1 has nothing to notice it by.
            assert PLAINTEXT[:16] not in read
    assert len(texts) == 1


def test_key_when_given_as_pem_then_it_is_the_same() -> None:
    pem = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    sealed = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    public = PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    envelope = _wrapped(JAVA["RSA-OAEP-SHA1"], WrapAlgorithm.RSA_OAEP_SHA1)

    for keyring in (
        RawRsaKeyring(private_key=pem, public_key=public),
        RawRsaKeyring(private_key=pem.decode(), public_key=public.decode()),
        RawRsaKeyring(private_key=sealed, password=b"secret"),
    ):
        assert _opened(keyring, envelope) == DATA_KEY


def test_key_when_it_is_none_of_rsa_then_it_is_refused_without_showing_it(other_key: RSAPrivateKey) -> None:
    curve = ec.generate_private_key(ec.SECP256R1())
    curve_pem = curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    sealed = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    short = rsa.generate_private_key(65537, 1024)  # noqa: S505  # to be refused

    attempts: tuple[dict[str, Any], ...] = (
        {},
        {"private_key": b"a secret"},
        {"private_key": "a secret"},
        {"private_key": b""},
        {"public_key": b"a secret"},
        {"private_key": curve_pem},
        {"private_key": curve},
        {"public_key": curve.public_key()},
        {"public_key": PRIVATE},
        {"private_key": PUBLIC},
        {"private_key": sealed},
        {"private_key": sealed, "password": b"a secret"},
        {"private_key": short},
        {"public_key": short.public_key()},
        {"private_key": PRIVATE, "public_key": other_key.public_key()},
        {"private_key": PRIVATE, "material_description": "a secret"},
        {"private_key": PRIVATE, "material_description": {"a": 1}},
    )
    for arguments in attempts:
        with pytest.raises(ConfigurationError) as caught:
            RawRsaKeyring(**arguments)
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_description_when_the_keyring_has_one_then_only_its_objects_are_opened() -> None:
    keyring = RawRsaKeyring(private_key=PRIVATE, public_key=PUBLIC, material_description={"key": "1"})
    made = keyring.make_s3ec_data_key(ContentAlgorithm.GCM, {})
    envelope = dataclasses.replace(_wrapped(made.encrypted, made.wrap), description=made.description)

    assert made.description == {"key": "1"}
    assert _opened(keyring, envelope) == bytes(made.plaintext.view())
    for description in ({}, {"key": "2"}, {"key": "1", "more": "x"}):
        with pytest.raises(NoMatchingKeyError):
            keyring.open_s3ec_data_key(dataclasses.replace(envelope, description=description))


def test_block_when_a_data_key_was_wrapped_then_it_is_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []

    class Watching:
        def encrypt(self, plaintext: bytes, scheme: object) -> bytes:
            seen.append(plaintext)
            return b"encrypted"

    keyring = RawRsaKeyring(public_key=PUBLIC, random=lambda size: b"k" * size)
    monkeypatch.setattr(keyring, "_public", Watching())

    keyring.make_s3ec_data_key(ContentAlgorithm.GCM, {})

    assert seen == [bytes(1 + 32 + len("AES/GCM/NoPadding"))]


@pytest.mark.parametrize("wrap", [WrapAlgorithm.RSA_OAEP_SHA1, WrapAlgorithm.RSA_OAEP_SHA256, WrapAlgorithm.RSA_PKCS1])
def test_block_when_a_data_key_was_unwrapped_then_it_is_overwritten(
    wrap: WrapAlgorithm, monkeypatch: pytest.MonkeyPatch
) -> None:
    overwritten: list[bytes] = []

    def overwrite(material: bytes) -> None:
        overwrite_bytes(material)
        overwritten.append(material)

    monkeypatch.setattr(raw_rsa, "overwrite_bytes", overwrite)
    keyring = RawRsaKeyring(private_key=PRIVATE)
    overwritten.clear()

    assert _opened(keyring, _wrapped(JAVA[wrap.value], wrap)) == DATA_KEY
    gc.collect()

    assert [len(block) >= 32 and not any(block) for block in overwritten] == [True]


def test_keyring_when_many_threads_use_it_then_each_gets_its_own_key(keyring: RawRsaKeyring) -> None:
    def round_trip(_: int) -> bool:
        made = keyring.make_s3ec_data_key(ContentAlgorithm.GCM, {})
        return _opened(keyring, _wrapped(made.encrypted, made.wrap)) == bytes(made.plaintext.view())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(round_trip, range(64)))
