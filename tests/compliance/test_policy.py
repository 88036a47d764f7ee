"""The policy file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from s3envelope.compliance.policy import CompliancePolicy
from s3envelope.errors import ConfigurationError


def read(folder: Path, content: Any) -> CompliancePolicy:
    """Read a policy from a file."""
    file = folder / "policy.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return CompliancePolicy.read(file)


def test_policy_when_a_file_has_some_fields_keeps_the_defaults_of_others(tmp_path: Path) -> None:
    policy = read(tmp_path, {"rotation_period_days": 180, "trusted_accounts": ["222222222222"]})

    assert policy.rotation_period_days == 180
    assert policy.trusted_accounts == ("222222222222",)
    assert policy.key_origins == ("AWS_KMS",)
    assert read(tmp_path, policy.as_dict()) == policy


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "[" * 100_000,
        " " * (1 << 20) + "{}",
        {"rotation_days": 1},
        {"rotation_period_days": -1},
        {"rotation_period_days": 1.5},
        {"rotation_period_days": True},
        {"rotation_period_days": "365"},
        '{"cache_fresh_seconds": NaN}',
        {"multi_region": "yes"},
        {"key_origins": "AWS_KMS"},
        {"key_origins": [1]},
        {"trusted_accounts": ["22222222222"]},
        {"trusted_accounts": ["*"]},
    ],
)
def test_policy_when_a_file_is_wrong_is_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(ConfigurationError):
        read(tmp_path, content)


def test_policy_when_there_is_no_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        CompliancePolicy.read(tmp_path / "none.json")
