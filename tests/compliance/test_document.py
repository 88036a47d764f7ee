"""COMPLIANCE.md says what there is."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import click

import s3envelope.compliance.controls as controls_module
from s3envelope.cli.app import commands
from s3envelope.compliance.bundle_names import ARTIFACTS, MANIFEST
from s3envelope.compliance.catalogue import CHECK_IDS
from s3envelope.compliance.policy import CompliancePolicy
from tests.cli.commands import subcommands

DOCUMENT = (Path(controls_module.__file__).parent.parent / "spec" / "COMPLIANCE.md").read_text(encoding="utf-8")


def options_of_check() -> set[str]:
    """Return the options that `compliance check` and every command has."""
    group = subcommands(commands)["compliance"]
    assert isinstance(group, click.Group)
    return {option for parameter in subcommands(group)["check"].params for option in parameter.opts}


def test_document_when_read_has_every_check_once_and_in_order() -> None:
    assert tuple(re.findall(r"^\| `([a-z-]+)` \|", DOCUMENT, re.MULTILINE)) == CHECK_IDS
    assert f"of {len(CHECK_IDS)} things" in DOCUMENT


def test_document_when_read_has_the_policy_with_its_defaults() -> None:
    (block,) = re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL)

    assert json.loads(block) == CompliancePolicy().as_dict()


def test_document_when_read_has_every_file_of_a_bundle() -> None:
    assert all(f"| `{name}` |" in DOCUMENT for name in (*ARTIFACTS, MANIFEST))


def test_commands_in_the_document_when_read_have_options_that_exist() -> None:
    lines = re.findall(r"s3envelope compliance check (--.*?)(?:\n\n|```|\|\||> summary)", DOCUMENT, re.DOTALL)
    words = [word for line in lines for word in shlex.split(line.replace("\\\n", " ")) if word.startswith("--")]

    assert len(lines) == 3
    assert set(words) <= options_of_check()
