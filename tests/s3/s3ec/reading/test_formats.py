"""Objects of the Amazon clients read through the same client: formats, sizes, wraps, where the envelope is."""

import io
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric import rsa

from s3envelope import RawAesKeyring, RawRsaKeyring, S3ecAesKeyring
from s3envelope.errors import (
    NotEncryptedError,
    UnsupportedFormatError,
)
from tests.support.enveloped import KIB, SEGMENT_SIZE, plaintext_of
from tests.support.s3ec_objects import (
    AesWrap,
    KmsWrap,
    RsaWrap,
    S3ecObject,
    cbc_object,
    v1_object,
    v2_object,
    v3_object,
)
from tests.support.s3ec_reading import BOTH, IN_A_FILE, KEY, MAKERS, WITH_SE1, S3ecScene, refusals

SIZES = (0, 1, 15, 16, 17, SEGMENT_SIZE - 1, SEGMENT_SIZE, SEGMENT_SIZE + 1, 300 * KIB)
AES_KEY = bytes(range(32))
EVERY_MAKER = pytest.mark.parametrize("maker", MAKERS)
RANGES = (
    "0-0",
    "0-",
    "-1",
    "-5000",
    "5-70000",
    "65535-65536",
    "65536-",
    "100000-999999",
    "199999-",
    "-99999999",
    "0-1",
)
ROUND = 200_000


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@EVERY_MAKER
@pytest.mark.parametrize("scene_name", ["s3ec", "s3ec_on_disk"])
def test_object_when_read_in_every_size_then_it_is_the_plaintext(
    request: pytest.FixtureRequest, scene_name: str, maker: str
) -> None:
    scene: S3ecScene = request.getfixturevalue(scene_name)
    client, from_file = scene.client(*WITH_SE1), scene.client(**IN_A_FILE)

    for size in SIZES:
        plaintext = plaintext_of(size)
        scene.put(MAKERS[maker](plaintext, scene.wrap), Metadata={"owner": "me"})
        answer = client.get_object(Bucket=scene.bucket, Key=KEY)
        headers = answer["ResponseMetadata"]["HTTPHeaders"]

        assert answer["Body"].read() == plaintext
        assert scene.get(from_file) == plaintext
        assert answer["ContentLength"] == size == int(headers["content-length"])
        assert answer["Metadata"] == {"owner": "me"}
        assert not [name for name in headers if name.startswith("x-amz-meta-x-amz-")]


@EVERY_MAKER
def test_head_when_asked_then_it_tells_the_plaintext_and_asks_no_key_service(s3ec: S3ecScene, maker: str) -> None:
    client = s3ec.client(*WITH_SE1)
    for size in SIZES:
        s3ec.put(MAKERS[maker](plaintext_of(size), s3ec.wrap), Metadata={"owner": "me"})
        s3ec.forget()

        answer = client.head_object(Bucket=s3ec.bucket, Key=KEY)

        assert (answer["ContentLength"], answer["Metadata"]) == (size, {"owner": "me"})
        assert (s3ec.kms_calls(), s3ec.requests()) == ([], ["HEAD"])


@EVERY_MAKER
@pytest.mark.parametrize("formats", [BOTH, WITH_SE1], ids=["alone", "with-se1"])
@pytest.mark.parametrize("fields", [{}, IN_A_FILE, {"unsafe_unverified_ranges": True}], ids=["memory", "file", "ctr"])
def test_range_when_read_then_answer_and_bytes_are_those_of_a_plain_object(
    s3ec: S3ecScene, maker: str, formats: tuple[str, ...], fields: dict[str, Any]
) -> None:
    plaintext = plaintext_of(ROUND)
    s3ec.put(MAKERS[maker](plaintext, s3ec.wrap))
    s3ec.plain.put_object(Bucket=s3ec.bucket, Key="plain", Body=plaintext)
    client = s3ec.client(*formats, **fields)

    for byte_range in RANGES:
        asked: Any = {"Bucket": s3ec.bucket, "Range": f"bytes={byte_range}"}
        expected = s3ec.plain.get_object(Key="plain", **asked)
        answer = client.get_object(Key=KEY, **asked)
        head = client.head_object(Key=KEY, **asked)

        assert answer["Body"].read() == expected["Body"].read()
        for name in ("ContentLength", "ContentRange"):
            assert answer[name] == expected[name] == head[name]
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206


@EVERY_MAKER
@pytest.mark.parametrize("formats", [BOTH, WITH_SE1], ids=["alone", "with-se1"])
@pytest.mark.parametrize(
    ("size", "byte_range"), [(0, "0-"), (0, "-5"), (10, "10-"), (10, "26-"), (10, "70000-"), (10, "-0")]
)
def test_range_when_nothing_of_it_exists_then_the_error_is_that_of_a_plain_object(
    s3ec: S3ecScene, maker: str, formats: tuple[str, ...], size: int, byte_range: str
) -> None:
    s3ec.put(MAKERS[maker](plaintext_of(size), s3ec.wrap))
    client = s3ec.client(*formats)

    with pytest.raises(ClientError) as error:
        s3ec.get(client, byte_range)

    assert error.value.response["Error"]["Code"] == "InvalidRange"
    assert error.value.response["Error"]["ActualObjectSize"] == str(size)  # type: ignore[typeddict-item]


@pytest.mark.parametrize("formats", [BOTH, WITH_SE1], ids=["alone", "with-se1"])
def test_range_when_the_server_denies_one_that_exists_then_it_is_not_believed(
    s3ec: S3ecScene, formats: tuple[str, ...]
) -> None:
    s3ec.put(v3_object(plaintext_of(1000), s3ec.wrap).with_body(b"short but long enough"))
    client = s3ec.client(*formats)

    errors = []
    for byte_range in ("0-", "500-"):
        with pytest.raises(Exception) as error:  # noqa: PT011  # whichever it is, it must be one of ours
            s3ec.get(client, byte_range)
        errors.append(type(error.value).__name__)

    # The size that would make the second range one that does not exist was not proved.
    assert errors == ["S3ecDecryptionError", "S3ecDecryptionError"]


@EVERY_MAKER
@pytest.mark.parametrize("suffix", [".instruction", "-other"])
def test_instruction_file_when_there_is_one_then_the_object_is_read(s3ec: S3ecScene, maker: str, suffix: str) -> None:
    plaintext = plaintext_of(70_000)
    s3ec.put(MAKERS[maker](plaintext, s3ec.wrap).with_instruction_file(), suffix=suffix, Metadata={"owner": "me"})
    client = s3ec.client(instruction_suffix=suffix)

    assert s3ec.get(client) == plaintext
    assert s3ec.get(client, "69000-") == plaintext[69_000:]
    head = client.head_object(Bucket=s3ec.bucket, Key=KEY)
    assert (head["ContentLength"], head["Metadata"]) == (len(plaintext), {"owner": "me"})


@EVERY_MAKER
def test_download_when_the_object_is_of_many_parts_then_it_is_fetched_once(s3ec: S3ecScene, maker: str) -> None:
    plaintext = plaintext_of(20 << 20)
    s3ec.put(MAKERS[maker](plaintext, s3ec.wrap))
    client, sink = s3ec.client(*WITH_SE1, **IN_A_FILE), io.BytesIO()
    s3ec.forget()

    client.download_fileobj(s3ec.bucket, KEY, sink)

    assert sink.getvalue() == plaintext
    assert s3ec.kms_calls() == ["Decrypt"]
    assert sorted(s3ec.requests()) == ["GET", *["GET bytes=0-0"] * 3, "HEAD"]


@pytest.mark.parametrize("version", ["v3", "v2"])
def test_raw_keys_when_they_wrap_then_their_keyrings_read(
    s3ec: S3ecScene, rsa_key: rsa.RSAPrivateKey, version: str
) -> None:
    make = {"v3": v3_object, "v2": v2_object}[version]
    short = bytes(range(16))
    cases = (
        (AesWrap(AES_KEY), RawAesKeyring(AES_KEY)),
        (AesWrap(short), S3ecAesKeyring(short)),
        (RsaWrap(rsa_key.public_key()), RawRsaKeyring(private_key=rsa_key)),
    )
    for wrap, keyring in cases:
        s3ec.put(make(b"content", wrap))

        assert s3ec.get(s3ec.client(s3ec_keyring=keyring)) == b"content"
        assert s3ec.kms_calls() == []


LEGACY = {
    "kms-cbc": (("s3ec-v2", "s3ec-kms", "s3ec-cbc"), "kms"),
    "kms-gcm": (("s3ec-v2", "s3ec-kms"), "kms"),
    "aes-wrap": (("s3ec-v2", "s3ec-aes-wrap", "s3ec-cbc"), "aes"),
    "v1-aes": (("s3ec-v1", "s3ec-aes-ecb", "s3ec-cbc"), "aes"),
    "v1-rsa": (("s3ec-v1", "s3ec-rsa-pkcs1", "s3ec-cbc"), "rsa"),
    "rsa-sha256": (("s3ec-v2", "s3ec-rsa-oaep-sha256", "s3ec-cbc"), "rsa"),
}


def _legacy(name: str, plaintext: bytes, scene: S3ecScene, rsa_key: rsa.RSAPrivateKey) -> tuple[S3ecObject, Any]:
    public = rsa_key.public_key()
    sha256 = "RSA/ECB/OAEPWithSHA-256AndMGF1Padding"
    kms = KmsWrap(scene.wrap.client, scene.wrap.key_id, name="kms")
    made = {
        "kms-cbc": lambda: cbc_object(plaintext, kms),
        "kms-gcm": lambda: v2_object(plaintext, kms),
        "aes-wrap": lambda: cbc_object(plaintext, AesWrap(AES_KEY, "AESWrap")),
        "v1-aes": lambda: v1_object(plaintext, AesWrap(AES_KEY, None)),
        "v1-rsa": lambda: v1_object(plaintext, RsaWrap(public, None)),
        "rsa-sha256": lambda: cbc_object(plaintext, RsaWrap(public, sha256)),
    }
    keyrings = {"kms": None, "aes": RawAesKeyring(AES_KEY), "rsa": RawRsaKeyring(private_key=rsa_key)}
    return made[name](), keyrings[LEGACY[name][1]]


@pytest.mark.parametrize("name", LEGACY)
def test_legacy_object_when_its_formats_are_named_then_it_is_read_and_else_not(
    s3ec: S3ecScene, rsa_key: rsa.RSAPrivateKey, name: str
) -> None:
    formats = LEGACY[name][0]
    for size in (0, 1, 15, 16, 17, 100_000):
        plaintext = plaintext_of(size)
        stored, keyring = _legacy(name, plaintext, s3ec, rsa_key)
        s3ec.put(stored)
        fields = {} if keyring is None else {"s3ec_keyring": keyring}
        client = s3ec.client(*formats, **fields)

        assert s3ec.get(client) == plaintext
        assert client.head_object(Bucket=s3ec.bucket, Key=KEY)["ContentLength"] == size
        if size > 1:
            assert s3ec.get(client, "1-") == plaintext[1:]
    s3ec.forget()
    for left_out in formats:
        others = tuple(set(formats) - {left_out})
        refused = s3ec.client(*others, unencrypted="allow", **fields)

        errors = refusals(s3ec, refused)

        assert {type(error) for error in errors.values()} == {UnsupportedFormatError}
        assert all(left_out in str(error) for error in errors.values())
    assert s3ec.kms_calls() == []


def test_cbc_object_when_it_does_not_tell_its_size_then_head_finds_it_out(s3ec: S3ecScene) -> None:
    formats = ("s3ec-v2", "s3ec-kms", "s3ec-cbc")
    wrap = KmsWrap(s3ec.wrap.client, s3ec.wrap.key_id, name="kms")
    client, plaintext = s3ec.client(*formats), plaintext_of(9_000_001)
    s3ec.put(cbc_object(plaintext, wrap, tells_size=False))
    s3ec.forget()
    sink = io.BytesIO()

    client.download_fileobj(s3ec.bucket, KEY, sink)

    assert sink.getvalue() == plaintext
    assert s3ec.kms_calls() == ["Decrypt"]
    assert s3ec.requests().count("GET") == 1


def test_formats_when_none_is_named_then_an_object_is_refused_before_any_key_service(s3ec: S3ecScene) -> None:
    for make in MAKERS.values():
        s3ec.put(make(b"content", s3ec.wrap))
        s3ec.forget()
        for unencrypted in ("refuse", "allow"):
            errors = refusals(s3ec, s3ec.client("se1", unencrypted=unencrypted))

            assert {type(error) for error in errors.values()} <= {UnsupportedFormatError, NotEncryptedError}
        assert s3ec.kms_calls() == []


def test_se1_when_it_is_not_named_then_its_objects_are_refused(s3ec: S3ecScene) -> None:
    s3ec.client("se1").put_object(Bucket=s3ec.bucket, Key=KEY, Body=plaintext_of(1000))
    s3ec.forget()

    errors = refusals(s3ec, s3ec.client(unencrypted="allow"))

    assert {type(error) for error in errors.values()} == {UnsupportedFormatError}
    assert s3ec.kms_calls() == []


def test_se1_when_an_object_changes_its_format_then_ranges_are_right_at_once(s3ec: S3ecScene) -> None:
    client, plaintext = s3ec.client(*WITH_SE1), plaintext_of(ROUND)
    s3ec.put(v3_object(b"x" * ROUND, s3ec.wrap))
    assert s3ec.get(client, "5-9") == b"xxxxx"

    client.put_object(Bucket=s3ec.bucket, Key=KEY, Body=plaintext)

    assert s3ec.get(client, "70000-70009") == plaintext[70_000:70_010]
    with pytest.raises(ClientError, match="InvalidRange"):
        s3ec.get(client, f"{ROUND}-")
    s3ec.put(v3_object(b"y" * ROUND, s3ec.wrap))
    assert s3ec.get(client, "70000-70004") == b"yyyyy"


@pytest.mark.parametrize("unencrypted", ["refuse", "allow"])
def test_plain_object_when_amazon_formats_are_read_then_the_configuration_decides(
    s3ec: S3ecScene, unencrypted: str
) -> None:
    s3ec.plain.put_object(Bucket=s3ec.bucket, Key=KEY, Body=b"plain")
    s3ec.plain.put_object(Bucket=s3ec.bucket, Key="folder/", Body=b"")
    client = s3ec.client(*WITH_SE1, unencrypted=unencrypted)

    if unencrypted == "refuse":
        assert {type(error) for error in refusals(s3ec, client).values()} == {NotEncryptedError}
        with pytest.raises(NotEncryptedError):
            s3ec.get(client, key="folder/")
    else:
        assert (s3ec.get(client), s3ec.get(client, "1-2"), s3ec.get(client, key="folder/")) == (b"plain", b"la", b"")
        assert client.head_object(Bucket=s3ec.bucket, Key=KEY)["ContentLength"] == 5
    assert s3ec.kms_calls() == []
