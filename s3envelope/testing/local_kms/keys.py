"""Keys: what all Regions share of one (its material), and what each Region has of its own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from s3envelope.testing.local_kms.blobs import WrappingKey
from s3envelope.testing.local_kms.errors import KmsServiceError
from s3envelope.testing.local_kms.policy import KeyPolicy

DAY_SECONDS = 86400.0
DEFAULT_ROTATION_PERIOD_DAYS = 365

ENABLED, DISABLED = "Enabled", "Disabled"
PENDING_DELETION, PENDING_REPLICA_DELETION = "PendingDeletion", "PendingReplicaDeletion"
PENDING_IMPORT = "PendingImport"
_STATE_WORDS = {
    PENDING_DELETION: "pending deletion",
    PENDING_REPLICA_DELETION: "pending replica deletion",
    PENDING_IMPORT: "pending import",
}


@dataclass(frozen=True, slots=True, repr=False)
class KeyMaterial:
    """One generation of a key. `rotation_type` is None for the first."""

    secret: bytes
    created: float
    rotation_type: str | None = None

    @property
    def material_id(self) -> bytes:
        """32 bytes, the same in every Region."""
        return hashlib.sha256(b"LocalKms key material id" + self.secret).digest()


@dataclass(slots=True, repr=False)
class KeyFamily:
    """What the replicas of a multi-Region key have in common; a single-Region key is a family of one.

    Args:
        materials: Oldest first; the last one encrypts. Empty while nothing was imported.
        next_rotation: Seconds since the epoch, or None while automatic rotation is off.
    """

    key_id: str
    spec: str
    usage: str
    origin: str
    multi_region: bool
    primary_region: str
    materials: list[KeyMaterial] = field(default_factory=list)
    rotation_period_days: int | None = None
    next_rotation: float | None = None
    custom_key_store_id: str | None = None

    @property
    def current(self) -> KeyMaterial:
        return self.materials[-1]

    @property
    def is_symmetric_encryption(self) -> bool:
        return self.spec == "SYMMETRIC_DEFAULT"

    def wrapping_key(self) -> WrappingKey:
        """Return the material that encrypts now."""
        return WrappingKey(self.key_id, self.current.material_id, self.current.secret)

    def secret_of(self, material_id: bytes) -> bytes:
        """Return the secret of any generation."""
        for material in reversed(self.materials):
            if material.material_id == material_id:
                return material.secret
        raise KmsServiceError("InvalidCiphertextException")

    def catch_up(self, now: float, new_secret: bytes) -> None:
        """Do an automatic rotation that is due."""
        if self.next_rotation is not None and self.rotation_period_days and now >= self.next_rotation:
            self.materials.append(KeyMaterial(new_secret, self.next_rotation, "AUTOMATIC"))
            self.next_rotation = now + self.rotation_period_days * DAY_SECONDS


@dataclass(slots=True, repr=False)
class RegionalKey:
    """A key as one Region has it."""

    family: KeyFamily
    region: str
    arn: str
    created: float
    policy: KeyPolicy
    state: str = ENABLED
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    deletion_date: float | None = None
    pending_window_days: int | None = None

    @property
    def key_id(self) -> str:
        return self.family.key_id

    @property
    def is_primary(self) -> bool:
        return self.family.primary_region == self.region

    @property
    def is_pending_deletion(self) -> bool:
        return self.state in (PENDING_DELETION, PENDING_REPLICA_DELETION)

    def require_not_pending(self) -> None:
        """Raise unless the key may be changed."""
        if self.is_pending_deletion:
            raise self.wrong_state()

    def require_enabled(self) -> None:
        """Raise unless the key may be used."""
        if self.state == DISABLED:
            raise KmsServiceError("DisabledException", f"{self.arn} is disabled.")
        if self.state != ENABLED:
            raise self.wrong_state()

    def require_encryption(self, operation: str) -> None:
        """Raise unless the key is a symmetric encryption key that may be used."""
        self.require_enabled()
        if self.family.usage != "ENCRYPT_DECRYPT" or not self.family.is_symmetric_encryption:
            kind = f"usage is {self.family.usage} and whose spec is {self.family.spec}"
            raise KmsServiceError(
                "InvalidKeyUsageException", f"{self.arn} is a key whose {kind}, not valid for {operation}."
            )

    def doom(self, now: float) -> None:
        """Start the waiting period, whose length is set."""
        assert self.pending_window_days is not None
        self.state = PENDING_DELETION
        self.deletion_date = now + self.pending_window_days * DAY_SECONDS

    def wrong_state(self) -> KmsServiceError:
        """Return the error of an operation that the key's state does not allow."""
        words = _STATE_WORDS.get(self.state, f"in the state {self.state}")
        return KmsServiceError("KMSInvalidStateException", f"{self.arn} is {words}.")
