"""The evidence bundle: an assessment in four forms, and a manifest that binds them together."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from s3envelope.compliance.assessment import Assessment
from s3envelope.compliance.bundle_names import ARTIFACTS, MANIFEST, MARKDOWN, OSCAL, PAGE, RESULTS
from s3envelope.compliance.markdown import as_markdown
from s3envelope.compliance.oscal import as_oscal
from s3envelope.compliance.page import as_page
from s3envelope.compliance.subject import AuditLog
from s3envelope.core.ports import Random
from s3envelope.errors import ConfigurationError

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was written.

    Args:
        manifest_sha256: Of the manifest file, as it stands in the audit log.
    """

    folder: Path
    manifest_sha256: str


def prepare_folder(folder: Path) -> None:
    """Make the folder of a bundle, for its owner alone; evidence that is there is never replaced.

    Raises:
        ConfigurationError: It cannot be made, or a bundle is in it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"the folder {folder} cannot be made: {error.strerror}") from error
    there = [name for name in (*ARTIFACTS, MANIFEST) if os.path.lexists(folder / name)]
    if there:
        raise ConfigurationError(f"{folder / there[0]} exists already; name a new folder for every run")


def write_bundle(assessment: Assessment, folder: Path, *, random: Random = os.urandom) -> Bundle:
    """Write all forms, and the manifest with their digests.

    Raises:
        OSError: A file cannot be written.
    """
    contents = {
        RESULTS: _json(assessment.as_dict()),
        OSCAL: _json(as_oscal(assessment, random)),
        PAGE: as_page(assessment),
        MARKDOWN: as_markdown(assessment),
    }
    entries = []
    for name in ARTIFACTS:
        content = contents[name].encode("utf-8")
        _write(folder / name, content)
        entries.append({"name": name, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)})
    manifest = _json({"assessment": assessment.id, "created": assessment.ended, "artifacts": entries}).encode("utf-8")
    _write(folder / MANIFEST, manifest)
    return Bundle(folder, hashlib.sha256(manifest).hexdigest())


def chain_bundle(bundle: Bundle, audit: AuditLog) -> None:
    """Write the digest of the manifest into an audit log: from then on no form can be changed unseen.

    Raises:
        AuditError: It was not written.
    """
    audit.append_evidence(f"{bundle.folder.name}/{MANIFEST}", bundle.manifest_sha256)


def _json(value: object) -> str:
    # Whatever is not ASCII is escaped: no byte of a file depends on a locale, or on a lone half of a surrogate pair.
    return json.dumps(value, indent=2) + "\n"


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, _FLAGS, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
