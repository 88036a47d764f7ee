"""What a benchmark runs in: nothing of the user's configuration, a memory sink in a process of its own, a folder."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_HOST = "127.0.0.1"
_MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108  # a folder in memory, where there is one
_NO_ACCOUNT = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


def isolate(environment: MutableMapping[str, str]) -> None:
    """Let nothing of the user's configuration reach a benchmark: accounts, proxies, settings of this library."""
    for name in list(environment):
        if name.startswith(("AWS_", "BOTO_", "S3ENVELOPE_")) or name.lower().endswith("_proxy"):
            del environment[name]
    environment.update(_NO_ACCOUNT)


@contextlib.contextmanager
def memory_sink(folder: Path, *, https: bool = False, discard: bool = False) -> Iterator[tuple[str, str]]:
    """Run a memory sink in a process of its own; yield its URL and the file to verify it with."""
    command = [sys.executable, "-m", "benchmarks.memsink"]
    ca_file = ""
    if discard:
        command.append("--discard")
    if https:
        certificate, key = _make_certificate(folder)
        command += ["--tls", str(certificate), str(key)]
        ca_file = str(certificate)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=child_environment()) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            yield f"{'https' if https else 'http'}://{_HOST}:{port}", ca_file
        finally:
            process.stdin.close()
            process.wait()


def child_environment() -> Mapping[str, str]:
    """Return the environment of a child process, which finds this package whatever the current folder is."""
    environment = dict(os.environ)
    isolate(environment)
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)
    return environment


@contextlib.contextmanager
def working_folder(needed_size: int = 0) -> Iterator[Path]:
    """Yield a temporary folder; in memory if there are `needed_size` bytes, so that no disk is measured."""
    parent = None
    if needed_size and _MEMORY_FOLDER.is_dir() and shutil.disk_usage(_MEMORY_FOLDER).free > 2 * needed_size:
        parent = _MEMORY_FOLDER
    with tempfile.TemporaryDirectory(prefix="s3envelope-benchmark-", dir=parent) as name:
        yield Path(name)


def _make_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for loopback that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "s3envelope benchmark")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(_HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file
