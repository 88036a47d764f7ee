"""Rotation of key material."""

from __future__ import annotations

from s3envelope.testing.local_kms.errors import KmsServiceError, unsupported
from s3envelope.testing.local_kms.keys import (
    DAY_SECONDS,
    DEFAULT_ROTATION_PERIOD_DAYS,
    KeyMaterial,
    RegionalKey,
)
from s3envelope.testing.local_kms.paging import page
from s3envelope.testing.local_kms.request import Answer, Request

_MAX_ON_DEMAND_ROTATIONS = 25


def _rotatable(request: Request, *, changes: bool = True) -> RegionalKey:
    """Return a key whose material the service itself makes, to change only where it is the primary."""
    key = request.key()
    family = key.family
    if not family.is_symmetric_encryption or family.origin != "AWS_KMS":
        raise unsupported(f"{key.arn} is not a symmetric encryption key with material of AWS KMS.")
    if changes:
        key.require_enabled()
        if not key.is_primary:
            raise unsupported(f"{key.arn} is a replica; rotate its primary key.")
    return key


def enable_key_rotation(request: Request) -> Answer:
    """EnableKeyRotation. Rotations happen when the clock of the server has passed their date."""
    family = _rotatable(request).family
    family.rotation_period_days = request.integer("RotationPeriodInDays") or DEFAULT_ROTATION_PERIOD_DAYS
    family.next_rotation = request.store.clock() + family.rotation_period_days * DAY_SECONDS
    return {}


def disable_key_rotation(request: Request) -> Answer:
    """DisableKeyRotation."""
    family = _rotatable(request).family
    family.rotation_period_days = family.next_rotation = None
    return {}


def get_key_rotation_status(request: Request) -> Answer:
    """GetKeyRotationStatus. A disabled key keeps its settings; one that awaits deletion shows none."""
    key = _rotatable(request, changes=False)
    family = key.family
    enabled = family.next_rotation is not None and not key.is_pending_deletion
    answer: Answer = {"KeyId": key.arn, "KeyRotationEnabled": enabled}
    if enabled:
        answer["RotationPeriodInDays"] = family.rotation_period_days
        answer["NextRotationDate"] = family.next_rotation
    return answer


def rotate_key_on_demand(request: Request) -> Answer:
    """RotateKeyOnDemand. The new material is current at once; AWS takes a moment."""
    key = _rotatable(request)
    materials = key.family.materials
    if sum(material.rotation_type == "ON_DEMAND" for material in materials) >= _MAX_ON_DEMAND_ROTATIONS:
        raise KmsServiceError("LimitExceededException", f"{key.arn} has no on-demand rotations left.")
    materials.append(KeyMaterial(request.store.random(32), request.store.clock(), "ON_DEMAND"))
    return {"KeyId": key.arn}


def list_key_rotations(request: Request) -> Answer:
    """ListKeyRotations: the completed rotations, and on request the first material too."""
    key = _rotatable(request, changes=False)
    family = key.family
    everything = request.text("IncludeKeyMaterial") == "ALL_KEY_MATERIAL"
    entries: list[Answer] = []
    for material in family.materials:
        entry: Answer = {"KeyId": key.arn, "KeyMaterialId": material.material_id.hex()}
        entry["KeyMaterialState"] = "CURRENT" if material is family.current else "NON_CURRENT"
        if material.rotation_type is not None:
            entry["RotationDate"] = material.created
            entry["RotationType"] = material.rotation_type
        if everything or material.rotation_type is not None:
            entries.append(entry)
    return page(request, "Rotations", entries)
