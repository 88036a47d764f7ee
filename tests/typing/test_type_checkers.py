"""Code of users, under mypy and pyright, with and without boto3-stubs beside the installed package.

mypy with the stubs is part of the ordinary run, for the whole project. The rest is slow; pyright (as basedpyright,
whose wheels bring all that it needs) has an environment of its own:

    pip install -e '.[test,typing]' && pytest -m slow tests/typing
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any, Literal

import pytest

import s3envelope
from s3envelope.s3.interfaces import EnvelopeArguments, EnvelopeFields

ROOT = Path(__file__).parent.parent.parent
USERS = Path(__file__).parent / "users"
PACKAGES = ("boto3", "botocore", "s3transfer", "cryptography", "diskcache", "platformdirs", "typing_extensions.py")
STUBS = ("boto3-stubs", "botocore-stubs", "s3transfer-stubs", "mypy_boto3_kms", "mypy_boto3_s3")
Stubs = Literal["with_stubs", "without_stubs"]


def environment(folder: Path, stubs: Stubs) -> Path:
    """Make a virtual environment in which s3envelope is installed; return its Python."""
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "s3envelope").symlink_to(ROOT / "s3envelope")
    for name in (*PACKAGES, *(STUBS if stubs == "with_stubs" else ())):
        (site / name).symlink_to(Path(sysconfig.get_path("purelib")) / name)
    return folder / "bin" / "python"


def check(*command: str | Path, folder: Path) -> None:
    """Run a type checker and fail with what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_keywords_when_compared_are_the_fields_of_the_configuration() -> None:
    fields = {field.name: field.type for field in dataclasses.fields(s3envelope.EnvelopeConfig)}

    keywords: dict[str, Any] = EnvelopeFields.__annotations__

    assert {name: keyword.__forward_arg__ for name, keyword in keywords.items()} == fields
    assert EnvelopeArguments.__annotations__.keys() - keywords.keys() == {"envelope"}


def test_client_when_asked_is_an_instance_of_the_class_that_annotations_name() -> None:
    arguments: dict[str, Any] = {"region_name": "us-east-1", "keyring": s3envelope.RawAesKeyring(bytes(32), "test")}
    client = s3envelope.client("s3", cache=None, state_dir=None, **arguments)
    resource = s3envelope.resource("s3", cache=None, state_dir=None, **arguments)
    other = s3envelope.client("sqs", region_name="us-east-1")

    assert isinstance(client, s3envelope.EnvelopeClient)
    assert isinstance(resource.meta.client, s3envelope.EnvelopeClient)
    assert not isinstance(other, s3envelope.EnvelopeClient)
    for each in (client, resource.meta.client, other):
        each.close()


@pytest.mark.slow
@pytest.mark.parametrize("stubs", ["with_stubs", "without_stubs"])
def test_code_of_users_when_mypy_checks_it_has_the_expected_types_and_mistakes(tmp_path: Path, stubs: Stubs) -> None:
    python = environment(tmp_path / "environment", stubs)

    check("mypy", "--strict", "--python-executable", python, USERS / f"{stubs}.py", folder=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("stubs", ["with_stubs", "without_stubs"])
def test_code_of_users_when_pyright_checks_it_has_the_expected_types_and_mistakes(tmp_path: Path, stubs: Stubs) -> None:
    if importlib.util.find_spec("basedpyright") is None:
        pytest.skip("basedpyright is not installed: it is in the extra [typing]")
    environment(tmp_path / "environment", stubs)
    (tmp_path / "code.py").write_text((USERS / f"{stubs}.py").read_text())
    # What is not known to a strict check without stubs is not known with plain boto3 either.
    mode = "strict" if stubs == "with_stubs" else "standard"
    settings = {
        "include": ["code.py"],
        "venvPath": str(tmp_path),
        "venv": "environment",
        "typeCheckingMode": mode,
        "enableTypeIgnoreComments": True,
        "reportUnnecessaryTypeIgnoreComment": "error",
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))

    check("basedpyright", folder=tmp_path)
