"""rclone's crypt remote over its S3 remote: a process per file, as its users start it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from benchmarks.clients import BUCKET, CREDENTIALS, Place
from benchmarks.subjects import UnsupportedCallError, rclone_binary

_WHOLE_FILES = "a process is started for every file: for small objects that start would be measured, and nothing else"


class RcloneSubject:
    """Copies files to and from a crypt remote; its key is a passphrase, there is no KMS."""

    def __init__(self, place: Place) -> None:
        self._binary = rclone_binary()
        # The same in every process: what one wrote, another reads.
        obscured = subprocess.run(
            [self._binary, "obscure", "-"], input=b"benchmark", stdout=subprocess.PIPE, check=True
        )
        # Everything is said in the environment, so that no configuration file is read or written.
        self._environment = {
            **os.environ,
            "RCLONE_CONFIG": os.devnull,
            "RCLONE_CONFIG_STORE_TYPE": "s3",
            "RCLONE_CONFIG_STORE_PROVIDER": "Other",
            "RCLONE_CONFIG_STORE_ENDPOINT": place.s3_url,
            "RCLONE_CONFIG_STORE_REGION": CREDENTIALS["region_name"],
            "RCLONE_CONFIG_STORE_ACCESS_KEY_ID": CREDENTIALS["aws_access_key_id"],
            "RCLONE_CONFIG_STORE_SECRET_ACCESS_KEY": CREDENTIALS["aws_secret_access_key"],
            "RCLONE_CONFIG_STORE_NO_CHECK_BUCKET": "true",
            "RCLONE_CONFIG_SEALED_TYPE": "crypt",
            "RCLONE_CONFIG_SEALED_REMOTE": f"store:{BUCKET}",
            "RCLONE_CONFIG_SEALED_PASSWORD": obscured.stdout.decode().strip(),
            "RCLONE_CONFIG_SEALED_FILENAME_ENCRYPTION": "off",
            "RCLONE_CONFIG_SEALED_SUFFIX": "none",
            "RCLONE_CONFIG_SEALED_DIRECTORY_NAME_ENCRYPTION": "false",
        }
        self._options = ["--retries", "1", "--ignore-times"]
        if place.ca_file:
            self._options += ["--ca-cert", place.ca_file]

    def put(self, key: str, plaintext: bytes) -> None:
        raise UnsupportedCallError(_WHOLE_FILES)

    def get(self, key: str) -> bytes:
        raise UnsupportedCallError(_WHOLE_FILES)

    def upload(self, file: Path, key: str) -> None:
        self._copy(str(file), f"sealed:{key}")

    def download(self, key: str, file: Path) -> None:
        self._copy(f"sealed:{key}", str(file))

    def range(self, key: str, start: int, size: int) -> bytes:
        raise UnsupportedCallError(_WHOLE_FILES)

    def rewrap(self, key: str) -> None:
        raise UnsupportedCallError(_WHOLE_FILES)

    def close(self) -> None:
        """Do nothing: nothing stays open."""

    def _copy(self, source: str, target: str) -> None:
        command = [self._binary, "copyto", *self._options, source, target]
        subprocess.run(command, env=self._environment, check=True, stdout=subprocess.DEVNULL)
