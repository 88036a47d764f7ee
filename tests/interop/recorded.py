"""Objects that others wrote, byte for byte, with the keys that open them: JSON beside the script that made them.

The ordinary tests read them with nothing of those others installed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
RUBY_FILE = _HERE / "ruby" / "objects.json"
JAVA_FILE = _HERE / "java" / "objects.json"
PYTHON_FILE = _HERE / "python" / "objects.json"
INSTRUCTION_SUFFIX = ".instruction"
# Of the KMS that wrapped the data keys: with the same seed it has the same keys again.
KMS_SEED = 20


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One stored object; its content is as many letters x as it has plaintext bytes.

    Args:
        version: "v1", "v2" or "v3", of the client that wrote it.
        wrap: The name of the key that opens it: "kms", "rsa", or one of the recording's AES keys.
        context: The caller's encryption context.
        instruction_file: The body of the file beside it, if there is one.
    """

    key: str
    version: str
    wrap: str
    size: int
    context: Mapping[str, str]
    body: bytes
    metadata: Mapping[str, str]
    instruction_file: bytes | None = None

    @property
    def content(self) -> bytes:
        """What was encrypted."""
        return b"x" * self.size

    @property
    def envelope(self) -> dict[str, str]:
        """What describes the object, from its metadata and its instruction file."""
        found: dict[str, str] = {**self.metadata, **json.loads(self.instruction_file or b"{}")}
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        file = self.instruction_file
        return {
            "key": self.key,
            "version": self.version,
            "wrap": self.wrap,
            "size": self.size,
            "context": dict(self.context),
            "body": base64.b64encode(self.body).decode(),
            "metadata": dict(self.metadata),
            "instruction_file": None if file is None else file.decode(),
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> StoredObject:
        """Return the object of `as_dict`."""
        file = fields["instruction_file"]
        changed = {
            "body": base64.b64decode(fields["body"]),
            "instruction_file": None if file is None else file.encode(),
        }
        return cls(**{**fields, **changed})


@dataclass(frozen=True, slots=True)
class Recording:
    """All objects of a writer, and the keys that open them, which are of no use for anything else.

    Args:
        client: Who wrote them.
        aes_keys: By name.
        rsa_private_key: As PEM.
    """

    client: str
    objects: tuple[StoredObject, ...]
    aes_keys: Mapping[str, bytes] = field(default_factory=dict)
    rsa_private_key: str = ""

    def save(self, file: Path) -> None:
        """Write the file."""
        fields = {
            "client": self.client,
            "aes_keys": {name: base64.b64encode(key).decode() for name, key in self.aes_keys.items()},
            "rsa_private_key": self.rsa_private_key,
            "objects": [one.as_dict() for one in self.objects],
        }
        file.write_text(json.dumps(fields, indent=1) + "\n")

    @classmethod
    def parse(cls, text: str) -> Recording:
        """Return the recording of a file's content."""
        fields = json.loads(text)
        objects = tuple(map(StoredObject.from_dict, fields["objects"]))
        aes_keys = {name: base64.b64decode(key) for name, key in fields["aes_keys"].items()}
        return cls(fields["client"], objects, aes_keys, fields["rsa_private_key"])
