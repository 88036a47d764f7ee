"""What the objects in the bucket are, and whether one can be written and read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from s3envelope.compliance.model import NotAssessedError, Verdict
from s3envelope.compliance.sample import Seen
from s3envelope.compliance.subject import Subject
from s3envelope.errors import DecryptionError

_BODY_SIZE = 100_000
_PROBE_SIZE = 16
_DAY_SECONDS = 86_400
_MOST_NAMED = 10
_AGE_NOTE = (
    "An object tells when it was written or rewrapped last, which is no earlier than its data key was made: a data key "
    "that was only re-encrypted inside KMS, or copied, may be older"
)


class RoundTrips:
    """An object is sealed, stored, read back, and refused after a change."""

    id = "object-round-trip"
    title = "A round trip with AES-256-GCM"
    proves = "What is stored does not show the plaintext, comes back unchanged, and is refused if one bit was changed."
    remedy = "Look at the error with `s3envelope doctor`; if stored bytes show the plaintext, stop writing at once."
    needs = ("kms-decrypt",)

    def assess(self, subject: Subject) -> Verdict:
        """Write random bytes with an enveloped client, and look at them with a plain one too."""
        plain: Any = subject.clients.s3
        body = subject.random(_BODY_SIZE)
        with subject.test_object() as where, subject.clients.sealing(subject.keyring()) as client:
            client.put_object(**where, Body=body)
            stored = plain.get_object(**where)
            ciphertext: bytes = stored["Body"].read()
            hides = len(ciphertext) > len(body) and not _shows(ciphertext, body)
            is_same = client.get_object(**where)["Body"].read() == body
            changed = bytearray(ciphertext)
            changed[len(changed) // 2] ^= 1
            plain.put_object(**where, Body=bytes(changed), Metadata=stored["Metadata"])
            is_refused = _is_refused(client, where)
        evidence = (
            f"{_BODY_SIZE} random bytes were written; the stored bytes hide them: {'yes' if hides else 'NO'}",
            f"They were read back unchanged: {'yes' if is_same else 'NO'}",
            f"With one bit of the stored bytes changed they were refused: {'yes' if is_refused else 'NO'}",
        )
        return Verdict(hides and is_same and is_refused, evidence)


def _shows(ciphertext: bytes, body: bytes) -> bool:
    """Tell whether a piece of the plaintext, from its beginning, middle or end, stands in the stored bytes."""
    starts = (0, len(body) // 2, len(body) - _PROBE_SIZE)
    return any(body[start : start + _PROBE_SIZE] in ciphertext for start in starts)


def _is_refused(client: Any, where: dict[str, str]) -> bool:
    try:
        client.get_object(**where)["Body"].read()
    except DecryptionError:
        return True
    return False


class HasNoPlaintext:
    """No object of a sample is without an envelope."""

    id = "bucket-objects"
    title = "No plaintext objects in the bucket"
    proves = "Every object that was looked at has the metadata of an envelope and a size that goes with it."
    remedy = "Write the named objects again with an enveloped client, and delete their old versions."
    needs: tuple[str, ...] = ()

    def assess(self, subject: Subject) -> Verdict:
        """Read the metadata of a sample."""
        sample = subject.sample()
        plain, broken = sample.of("plain"), sample.of("broken")
        evidence = [f"{sample.described()}. Bodies were not opened: metadata is a claim of whoever wrote the object"]
        sealed, amazon, empty = (len(sample.of(kind)) for kind in ("enveloped", "amazon", "empty"))
        evidence.append(
            f"{sealed} have an envelope, {amazon} metadata of an Amazon S3 Encryption Client, {empty} are folder "
            f"markers, {len(plain)} have no envelope, {len(broken)} one that is not understood"
        )
        evidence += _named("Without an envelope", plain)
        evidence += _named("Not understood", broken)
        if plain or broken:
            return Verdict(False, tuple(evidence))
        _require_seen(sample.of("unseen"))
        return Verdict(True, tuple(evidence))


class HasYoungDataKeys:
    """No object of the sample was last written, or rewrapped, longer ago than the policy allows."""

    id = "data-key-age"
    title = "Data keys are not older than the policy allows"
    proves = "No object of the sample went without being written or rewrapped for longer than data_key_age_days."
    remedy = "Run `s3envelope rotate` over the bucket: it gives objects new data keys without moving their bodies."
    needs: tuple[str, ...] = ()

    def assess(self, subject: Subject) -> Verdict:
        """Read when the objects of the sample were written."""
        sample, days = subject.sample(), subject.policy.data_key_age_days
        now = datetime.fromtimestamp(subject.wall_clock(), timezone.utc)
        sealed = sample.of("enveloped", "amazon")
        ages = [((now - seen.modified).total_seconds(), seen) for seen in sealed if seen.modified is not None]
        old = [seen for age, seen in ages if age > days * _DAY_SECONDS]
        oldest = max((age for age, _ in ages), default=0) / _DAY_SECONDS
        counted = f"{len(old)} of {len(ages)} encrypted objects are older than {days} days"
        evidence = [f"{sample.described()}. {counted}; the oldest has {oldest:.0f} days", _AGE_NOTE]
        evidence += _named("Too old", old)
        if old:
            return Verdict(False, tuple(evidence))
        _require_seen(sample.of("unseen"))
        return Verdict(True, tuple(evidence))


def _require_seen(unseen: Sequence[Seen]) -> None:
    if unseen:
        raise NotAssessedError(f"the metadata of {len(unseen)} objects cannot be read, for example: {unseen[0].reason}")


def _named(title: str, seen: Sequence[Seen]) -> list[str]:
    if not seen:
        return []
    names = ", ".join(repr(one.key) for one in seen[:_MOST_NAMED])
    more = f" and {len(seen) - _MOST_NAMED} more" if len(seen) > _MOST_NAMED else ""
    return [f"{title}: {names}{more}"]
