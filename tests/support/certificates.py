"""A certificate authority of the tests and a certificate for loopback."""

from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: pass `ca_file` as `verify=`, and `certificate_files` to a server."""

    ca_file: str
    certificate_file: str
    key_file: str

    @property
    def certificate_files(self) -> tuple[str, str]:
        """Return the certificate and its key."""
        return self.certificate_file, self.key_file


def make_tls_files(folder: Path) -> TlsFiles:
    """Make an authority and a certificate for 127.0.0.1 and localhost."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    files = TlsFiles(str(folder / "ca.pem"), str(folder / "certificate.pem"), str(folder / "key.pem"))
    authority.cert_pem.write_to_path(files.ca_file)
    Path(files.certificate_file).write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(files.key_file)
    return files
