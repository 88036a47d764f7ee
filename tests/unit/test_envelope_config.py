"""The configuration: what is refused, what the environment says, what a call adds."""

from __future__ import annotations

from typing import Any, cast

import pytest

from s3envelope.caches.limits import CacheLimits
from s3envelope.core.layout import MAX_PUT_SIZE
from s3envelope.errors import ConfigurationError
from s3envelope.s3.config import FIELD_NAMES, EnvelopeConfig, make_config, split_arguments
from tests.support.objects import raw_keyring

KEYRING = raw_keyring()
ALIAS = "alias/orders"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"keyring": KEYRING, "kms_key_id": ALIAS},
        {"keyring": object()},
        {"keyring": "alias/orders"},
        {"kms_key_id": ""},
        {"kms_key_id": "not a key"},
        {"kms_key_id": 5},
        {"keyring": KEYRING, "kms_client": object()},
        {"kms_client": object()},
    ],
)
def test_config_when_it_does_not_name_one_keyring_then_it_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        EnvelopeConfig(**fields)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("encryption_context", {"a": 1}),
        ("encryption_context", {"s3envelope": "x"}),
        ("encryption_context", {"a": "\u00e9"}),
        ("encryption_context", "tenant=acme"),
        ("unencrypted", "yes"),
        ("unencrypted", None),
        ("unencrypted", True),
        ("list_sizes", "both"),
        ("bind_key_name", "true"),
        ("bind_key_name", 1),
        ("bind_key_name", None),
        ("allow_presigned_ciphertext", "no"),
        ("part_size", 1000),
        ("part_size", 5 * 2**20 + 1),
        ("part_size", "8MB"),
        ("metadata_limit", 0),
        ("metadata_limit", 8193),
        ("metadata_limit", "2048"),
        ("metadata_limit", None),
        ("metadata_limit", True),
        ("unseekable_limit", -1),
        ("unseekable_limit", MAX_PUT_SIZE + 1),
        ("unseekable_limit", "1"),
        ("cache_limits", 300),
        ("cache_limits", {"max_objects": 1}),
    ],
)
def test_config_when_a_field_has_no_legal_value_then_it_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        EnvelopeConfig(keyring=KEYRING, **cast(Any, {name: value}))

    assert name.split("_")[-1] in str(caught.value)


def test_config_when_only_a_key_is_named_then_the_defaults_are_the_safe_ones() -> None:
    config = EnvelopeConfig(kms_key_id=ALIAS)

    assert config.bind_key_name is True
    assert config.unencrypted == "refuse"
    assert config.allow_presigned_ciphertext is False
    assert (config.metadata_limit, config.unseekable_limit, config.part_size) == (2048, MAX_PUT_SIZE, None)
    assert config.cache_limits is not None


@pytest.mark.parametrize("limits", [{"max_objects": 0}, {"max_age_seconds": "long"}, {"max_objects": 1.5}])
def test_cache_limits_when_not_numbers_in_range_then_they_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        CacheLimits(**limits)


ENVIRONMENT = {
    "S3ENVELOPE_KMS_KEY_ID": ALIAS,
    "S3ENVELOPE_CONTEXT": '{"tenant": "acme"}',
    "S3ENVELOPE_BIND_KEY_NAME": "false",
    "S3ENVELOPE_UNENCRYPTED": "allow",
    "S3ENVELOPE_PART_SIZE": str(8 << 20),
    "S3ENVELOPE_LIST_SIZES": "stored",
    "S3ENVELOPE_METADATA_LIMIT": "1024",
    "UNRELATED": "x",
}


def test_environment_when_nothing_is_given_then_it_counts() -> None:
    config = make_config({}, ENVIRONMENT)

    assert config.kms_key_id == ALIAS
    assert config.encryption_context == {"tenant": "acme"}
    assert (config.bind_key_name, config.unencrypted) == (False, "allow")
    assert (config.part_size, config.list_sizes, config.metadata_limit) == (8 << 20, "stored", 1024)


def test_environment_when_fields_are_given_then_they_count() -> None:
    given = {
        "kms_key_id": "alias/other",
        "encryption_context": {"tenant": "other"},
        "bind_key_name": True,
        "unencrypted": "refuse",
        "part_size": 16 << 20,
        "list_sizes": "plaintext",
        "metadata_limit": 2048,
    }

    config = make_config(given, ENVIRONMENT)

    assert {name: getattr(config, name) for name in given} == given


def test_environment_when_a_keyring_is_given_then_its_key_id_is_not_used() -> None:
    config = make_config({"keyring": KEYRING}, ENVIRONMENT)

    assert (config.keyring, config.kms_key_id) == (KEYRING, None)


@pytest.mark.parametrize(("word", "value"), [("true", True), ("True", True), ("1", True), ("no", False), ("0", False)])
def test_environment_when_a_switch_is_spelt_in_any_way_then_it_is_read(word: str, value: bool) -> None:
    config = make_config({"keyring": KEYRING}, {"S3ENVELOPE_BIND_KEY_NAME": word})

    assert config.bind_key_name is value


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("S3ENVELOPE_KMS_KEY_ID", ""),
        ("S3ENVELOPE_KMS_KEY_ID", "not a key"),
        ("S3ENVELOPE_CONTEXT", "tenant=acme"),
        ("S3ENVELOPE_CONTEXT", ""),
        ("S3ENVELOPE_CONTEXT", '["a"]'),
        ("S3ENVELOPE_CONTEXT", "null"),
        ("S3ENVELOPE_CONTEXT", '{"a": 1}'),
        ("S3ENVELOPE_BIND_KEY_NAME", "maybe"),
        ("S3ENVELOPE_BIND_KEY_NAME", ""),
        ("S3ENVELOPE_UNENCRYPTED", "Allow it"),
        ("S3ENVELOPE_PART_SIZE", "8MB"),
        ("S3ENVELOPE_PART_SIZE", "1000"),
        ("S3ENVELOPE_LIST_SIZES", ""),
        ("S3ENVELOPE_METADATA_LIMIT", "1e3"),
    ],
)
def test_environment_when_a_variable_has_no_legal_value_then_it_is_refused(variable: str, value: str) -> None:
    with pytest.raises(ConfigurationError):
        make_config({}, {"S3ENVELOPE_KMS_KEY_ID": ALIAS, variable: value})


def test_envelope_when_given_whole_then_the_environment_does_not_count() -> None:
    whole = EnvelopeConfig(keyring=KEYRING, unencrypted="refuse")

    config = make_config({"envelope": whole}, ENVIRONMENT)

    assert config == whole


def test_envelope_when_fields_are_given_beside_it_then_they_override_it() -> None:
    whole = EnvelopeConfig(keyring=KEYRING, metadata_limit=1000, encryption_context={"a": "b"})

    config = make_config({"envelope": whole, "metadata_limit": 500}, {})

    assert (config.metadata_limit, config.encryption_context, config.keyring) == (500, {"a": "b"}, KEYRING)


def test_envelope_when_another_key_is_named_beside_it_then_its_keyring_is_replaced() -> None:
    whole = EnvelopeConfig(keyring=KEYRING)

    config = make_config({"envelope": whole, "kms_key_id": ALIAS}, {})
    back = make_config({"envelope": config, "keyring": KEYRING}, {})

    assert (config.keyring, config.kms_key_id) == (None, ALIAS)
    assert (back.keyring, back.kms_key_id) == (KEYRING, None)


@pytest.mark.parametrize("whole", [{}, "alias/orders", KEYRING])
def test_envelope_when_it_is_no_configuration_then_it_is_refused(whole: object) -> None:
    with pytest.raises(ConfigurationError, match="EnvelopeConfig"):
        make_config({"envelope": whole}, {})


def test_envelope_when_an_override_is_not_legal_then_it_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        make_config({"envelope": EnvelopeConfig(keyring=KEYRING), "unencrypted": "maybe"}, {})


def test_arguments_when_split_then_each_goes_where_it_belongs() -> None:
    ours, theirs = split_arguments({"kms_key_id": ALIAS, "envelope": None, "region_name": "eu-west-1", "config": 5})

    assert ours == {"kms_key_id": ALIAS, "envelope": None}
    assert theirs == {"region_name": "eu-west-1", "config": 5}
    # None of our names is one that boto3 knows.
    boto3_names = {"region_name", "api_version", "use_ssl", "verify", "endpoint_url", "config"}
    assert not FIELD_NAMES & boto3_names


def test_context_when_it_is_a_function_then_it_is_asked_for_each_object() -> None:
    config = EnvelopeConfig(keyring=KEYRING, encryption_context=lambda bucket, key: {"bucket": bucket, "top": key[:1]})

    assert config.context_for("b", "xyz") == {"bucket": "b", "top": "x"}
    assert config.context_for("b", "xyz", {"more": "1"}) == {"bucket": "b", "top": "x", "more": "1"}


def test_context_when_the_mapping_changes_later_then_the_configured_one_counts() -> None:
    entries = {"tenant": "acme"}
    config = EnvelopeConfig(keyring=KEYRING, encryption_context=entries)

    entries["tenant"] = "other"

    assert config.context_for("b", "k") == {"tenant": "acme"}


@pytest.mark.parametrize("answer", [{"a": 1}, {"s3envelope": "x"}, "text", 5])
def test_context_when_the_function_returns_no_legal_one_then_it_is_refused(answer: Any) -> None:
    config = EnvelopeConfig(keyring=KEYRING, encryption_context=lambda bucket, key: cast(dict[str, str], answer))

    with pytest.raises(ConfigurationError):
        config.context_for("b", "k")


def test_context_when_a_call_repeats_a_configured_entry_then_it_must_have_the_same_value() -> None:
    config = EnvelopeConfig(keyring=KEYRING, encryption_context={"tenant": "acme"})

    assert config.context_for("b", "k", {"tenant": "acme", "a": "b"}) == {"tenant": "acme", "a": "b"}
    with pytest.raises(ConfigurationError, match="tenant") as caught:
        config.context_for("b", "k", {"tenant": "other"})
    assert "acme" not in str(caught.value)


@pytest.mark.parametrize("entries", [{"a": 1}, {"s3envelope": "SE1"}, {"a": "x" * 1600}])
def test_context_when_the_entries_of_a_call_are_not_legal_then_they_are_refused(entries: Any) -> None:
    with pytest.raises(ConfigurationError):
        EnvelopeConfig(keyring=KEYRING).context_for("b", "k", entries)


def test_repr_when_printed_then_no_key_shows() -> None:
    assert "RawAesKeyring 'tests'" in repr(EnvelopeConfig(keyring=KEYRING))
