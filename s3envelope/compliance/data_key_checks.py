"""What KMS does with data keys, and what this library does with them afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from s3envelope.compliance.failures import is_blind
from s3envelope.compliance.model import NotAssessedError, Verdict
from s3envelope.compliance.subject import Subject
from s3envelope.core.context import EncryptionContext
from s3envelope.core.ports import DataKey, EncryptedDataKey
from s3envelope.core.secret import SecretBytes
from s3envelope.errors import KeyringError
from s3envelope.keyrings.kms import KmsKeyring

_DATA_KEY_SIZE = 32


class GeneratesDataKeys:
    """GenerateDataKey returns a plaintext and an encrypted key, new ones each time."""

    id = "kms-data-key"
    title = "GenerateDataKey returns plaintext and encrypted data keys"
    proves = "KMS makes 256-bit data keys under this key, each one different, and returns their encrypted form."
    remedy = "Enable the key, make it a symmetric encryption key, and allow this identity kms:GenerateDataKey on it."
    needs: tuple[str, ...] = ()

    def assess(self, subject: Subject) -> Verdict:
        """Make two."""
        keyring, context = subject.keyring(), subject.scope.context
        first = keyring.generate_data_key(context)
        with first.plaintext, keyring.generate_data_key(context).plaintext as second:
            is_whole = len(first.plaintext) == len(second) == _DATA_KEY_SIZE
            are_different = first.plaintext != second
            is_encrypted = not _contains(_ciphertext(first), first.plaintext)
        line = (
            f"Two data keys were made; both have {_DATA_KEY_SIZE} bytes: {_yes(is_whole)}; they differ: "
            f"{_yes(are_different)}; the encrypted form hides the plaintext: {_yes(is_encrypted)}"
        )
        return Verdict(is_whole and are_different and is_encrypted, (line,))


class DecryptsDataKeys:
    """Decrypt gives back the data key that was made."""

    id = "kms-decrypt"
    title = "Decrypt recovers the data key"
    proves = "What KMS encrypted under this key and context it decrypts to the same bytes."
    remedy = "Enable the key and allow this identity kms:Decrypt on it."
    needs = ("kms-data-key",)

    def assess(self, subject: Subject) -> Verdict:
        """Make a data key and open it again."""
        keyring, context = subject.keyring(), subject.scope.context
        made = keyring.generate_data_key(context)
        with made.plaintext:
            is_same = _opens_to(keyring, made.encrypted, context, made.plaintext)
        if is_same is None:
            return Verdict(False, ("KMS does not decrypt the data key that it has just made",))
        return Verdict(is_same, (f"Decrypt returned the plaintext of GenerateDataKey: {_yes(is_same)}",))


class RefusesWrongContexts:
    """Decrypt refuses a data key under another encryption context."""

    id = "kms-context"
    title = "A wrong encryption context is refused"
    proves = "A data key opens only under the encryption context that it was made for."
    remedy = "Use a KMS that authenticates the encryption context; until then no context protects an object."
    needs = ("kms-decrypt",)

    def assess(self, subject: Subject) -> Verdict:
        """Try a changed, an extended and an empty context."""
        keyring, context = subject.keyring(), subject.scope.context
        made = keyring.generate_data_key(context)
        made.plaintext.wipe()
        evidence, is_good = [], True
        for what, wrong in _wrong_contexts(context):
            try:
                opened = _opens(keyring, made.encrypted, wrong)
            except KeyringError as error:
                # A key policy may refuse a context before KMS looks at the ciphertext. No answer is no refusal.
                if is_blind(error) and "AccessDenied" not in str(error):
                    raise
                opened = False
            is_good = is_good and not opened
            evidence.append(f"Decrypt with {what}: {'OPENED' if opened else 'refused'}")
        return Verdict(is_good, tuple(evidence))


class ReencryptsDataKeys:
    """ReEncrypt gives the data key another encrypted form, inside KMS."""

    id = "kms-reencrypt"
    title = "Rotation re-encrypts the data key"
    proves = "KMS wraps a data key anew without showing it to anybody, and it stays the same data key."
    remedy = "Allow this identity kms:ReEncryptFrom and kms:ReEncryptTo on the key."
    needs = ("kms-decrypt",)

    def assess(self, subject: Subject) -> Verdict:
        """Wrap a data key anew under the same key, and open both forms."""
        keyring, context = subject.keyring(), subject.scope.context
        made = keyring.generate_data_key(context)
        with made.plaintext:
            wrapped = keyring.reencrypt_data_key(made.encrypted[0], context, source_key_arn=subject.key_arn())
            is_new = wrapped.ciphertext != made.encrypted[0].ciphertext
            is_same = _opens_to(keyring, [wrapped], context, made.plaintext) is True
        return Verdict(
            is_new and is_same,
            (f"The encrypted form is a new one: {_yes(is_new)}; it opens to the same data key: {_yes(is_same)}",),
        )


class WipesPlaintextKeys:
    """Every plaintext data key that a client took from KMS is overwritten when the call is over."""

    id = "key-wiped"
    title = "Plaintext data keys are wiped after use"
    proves = "The buffers that held data keys while an object was written and read contain zeros afterwards."
    remedy = "Run an unchanged release on CPython; a data key that stays in memory can be read from a core dump."
    needs = ("object-round-trip",)

    def assess(self, subject: Subject) -> Verdict:
        """Watch the buffers of all data keys while a client that keeps none writes and reads an object."""
        watched = WatchedKeyring(subject.keyring())
        try:
            with subject.test_object() as where, subject.clients.sealing(watched) as client:
                client.put_object(**where, Body=subject.random(1000))
                client.get_object(**where)["Body"].read()
            left_count, count = watched.count_left(), len(watched.views)
        finally:
            watched.wipe()
        if count == 0:
            raise NotAssessedError("the client asked KMS for no data key: there was nothing to watch")
        line = (
            f"{count} data keys were handed to a client that wrote and read an object; {count - left_count} of their "
            "buffers hold nothing but zeros now"
        )
        note = "Copies that the interpreter, botocore and OpenSSL made on the way were not searched for"
        return Verdict(left_count == 0, (line, note))


class WatchedKeyring:
    """A keyring whose data keys are watched: whether their buffers were overwritten."""

    def __init__(self, inner: KmsKeyring) -> None:
        self._inner = inner
        self._secrets: list[SecretBytes] = []
        # A view shows the buffer as it is, also after the secret refuses to be read.
        self.views: list[memoryview] = []

    @property
    def key_ids(self) -> frozenset[str]:
        """See `Keyring`."""
        return self._inner.key_ids

    @property
    def encrypted_data_key_sizes(self) -> tuple[int, ...]:
        """See `Keyring`."""
        return self._inner.encrypted_data_key_sizes

    def generate_data_key(self, context: EncryptionContext) -> DataKey:
        """See `Keyring`."""
        made = self._inner.generate_data_key(context)
        self._watch(made.plaintext)
        return made

    def encrypt_data_key(self, plaintext: SecretBytes, context: EncryptionContext) -> EncryptedDataKey:
        """See `Keyring`."""
        return self._inner.encrypt_data_key(plaintext, context)

    def decrypt_data_keys(
        self, keys: Sequence[EncryptedDataKey], context: EncryptionContext
    ) -> Iterator[tuple[EncryptedDataKey, SecretBytes]]:
        """See `Keyring`."""
        for key, plaintext in self._inner.decrypt_data_keys(keys, context):
            self._watch(plaintext)
            yield key, plaintext

    def reencrypt_data_key(
        self, key: EncryptedDataKey, context: EncryptionContext, *, source_key_arn: str
    ) -> EncryptedDataKey:
        """See `Keyring`."""
        return self._inner.reencrypt_data_key(key, context, source_key_arn=source_key_arn)

    def count_left(self) -> int:
        """Return how many buffers hold anything but zeros."""
        return sum(any(view) for view in self.views)

    def wipe(self) -> None:
        """Overwrite whatever is left."""
        for secret in self._secrets:
            secret.wipe()

    def _watch(self, secret: SecretBytes) -> None:
        self._secrets.append(secret)
        self.views.append(secret.view())


def _wrong_contexts(context: EncryptionContext) -> Iterator[tuple[str, EncryptionContext]]:
    entries: Mapping[str, str] = dict(context)
    name = sorted(entries)[0]
    yield "a changed value", EncryptionContext({**entries, name: f"{entries[name]}?"})
    yield "an entry more", EncryptionContext({**entries, f"not-{name}": "there"})
    yield "no entry", EncryptionContext()


def _opens(keyring: KmsKeyring, keys: Sequence[EncryptedDataKey], context: EncryptionContext) -> bool:
    """Tell whether any of some keys opens, to whatever."""
    for _, plaintext in keyring.decrypt_data_keys(keys, context):
        plaintext.wipe()
        return True
    return False


def _opens_to(
    keyring: KmsKeyring, keys: Sequence[EncryptedDataKey], context: EncryptionContext, expected: SecretBytes
) -> bool | None:
    """Tell whether a key opens to the expected bytes; `None` if it does not open."""
    for _, plaintext in keyring.decrypt_data_keys(keys, context):
        with plaintext:
            return plaintext == expected
    return None


def _ciphertext(key: DataKey) -> bytes:
    return b"".join(entry.ciphertext for entry in key.encrypted)


def _contains(ciphertext: bytes, secret: SecretBytes) -> bool:
    """Tell whether a ciphertext shows a secret, without a copy of the secret."""
    size = len(secret)
    return any(secret.view() == ciphertext[start : start + size] for start in range(len(ciphertext) - size + 1))


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "NO"
