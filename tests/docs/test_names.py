"""The names in the documents exist: formats, commands and their options, settings, errors."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import click
import pytest

import s3envelope
from s3envelope.cli.app import commands
from s3envelope.formats.names import READ_FORMATS
from tests.cli.commands import subcommands
from tests.support.documents import README, SPEC, blocks_of

PAGES = [README, *sorted(SPEC.glob("*.md"))]
_COMMAND = re.compile(r"s3envelope((?: [a-z]+)+)((?: [^`\n|#]*)?)")
_SETTINGS = {field.name for field in dataclasses.fields(s3envelope.EnvelopeConfig)}
_OF_OTHERS = {"TypeError", "UsageError", "ParamValidationError", "S3DownloadFailedError"}
# Of calls and keyrings, and not of the configuration.
_OTHERS = {"EncryptionContext", "IsLastPart", "material_description", "private_key", "public_key"}


def options_of(words: list[str]) -> set[str] | None:
    """Return the options of a command; `None` if there is no such command."""
    found: click.Command = commands
    for word in words:
        below = subcommands(found) if isinstance(found, click.Group) else {}
        if word in below:
            found = below[word]
        elif found is commands:
            return None
    return {option for parameter in found.params for option in (*parameter.opts, *parameter.secondary_opts)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_a_page_when_looked_up_exist_with_their_options(page: Path) -> None:
    text = page.read_text(encoding="utf-8").replace("\n", " ")
    code = re.findall(r"(?<!`)`(s3envelope [^`]+)`", text)
    for block in blocks_of(page):
        if block.language in ("sh", "shell"):
            code += re.findall(r"^(s3envelope .+)$", block.content.replace("\\\n", " "), re.MULTILINE)

    for line in code:
        found = _COMMAND.match(line)
        assert found is not None, line
        options = options_of(found[1].split())
        assert options is not None, line
        assert set(re.findall(r"(?<=\s)--[a-z0-9-]+", line.split("|")[0])) <= options | {"--help"}, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_formats_and_errors_of_a_page_when_looked_up_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    formats = set(re.findall(r"`\"?(s3ec-[a-z0-9-]+)\"?`", text))
    quoted = set(re.findall(r"\"(s3ec-[a-z0-9-]+)\"", text))
    errors = set(re.findall(r"`(?:s3envelope\.errors\.)?([A-Z]\w+Error)`", text))

    assert formats | quoted <= set(READ_FORMATS)
    assert {name for name in errors if not hasattr(s3envelope.errors, name)} <= _OF_OTHERS


def test_our_lines_of_the_tables_of_clients_when_looked_up_are_settings_and_keyrings() -> None:
    tables = (SPEC / "MIGRATION.md").read_text(encoding="utf-8").partition("### Key material")[2]
    ours = [row.split(" | ")[-1] for row in re.findall(r"^\| (?!---|Their|Theirs).*\|$", tables, re.MULTILINE)]
    code = [part for row in ours for part in re.findall(r"`([^`]+)`", row)]

    settings = {name for part in code for name in re.findall(r"(\w+)=", part)}
    classes = {name for part in code for name in re.findall(r"\b([A-Z]\w+|S3ec\w+)\(", part)}

    assert len(ours) > 40
    assert settings - _SETTINGS - _OTHERS == set()
    assert [name for name in classes if not hasattr(s3envelope, name)] == []
