"""Making, describing, replicating, disabling and deleting keys."""

from __future__ import annotations

from s3envelope.testing.local_kms.errors import KmsServiceError, invalid, unsupported
from s3envelope.testing.local_kms.keys import (
    DISABLED,
    ENABLED,
    PENDING_IMPORT,
    PENDING_REPLICA_DELETION,
    KeyFamily,
    KeyMaterial,
    RegionalKey,
)
from s3envelope.testing.local_kms.metadata import describe
from s3envelope.testing.local_kms.paging import page
from s3envelope.testing.local_kms.policy import KeyPolicy, default_policy, parse_policy
from s3envelope.testing.local_kms.request import Answer, Request
from s3envelope.testing.local_kms.store import new_key_id

_DEFAULT_WINDOW_DAYS = 30


def _usages_of(spec: str) -> frozenset[str]:
    if spec == "SYMMETRIC_DEFAULT":
        return frozenset({"ENCRYPT_DECRYPT"})
    if spec.startswith("HMAC_"):
        return frozenset({"GENERATE_VERIFY_MAC"})
    if spec.startswith("RSA_"):
        return frozenset({"ENCRYPT_DECRYPT", "SIGN_VERIFY"})
    return frozenset({"SIGN_VERIFY", "KEY_AGREEMENT"} | ({"ENCRYPT_DECRYPT"} if spec == "SM2" else set()))


def policy_of(request: Request) -> KeyPolicy:
    """Return the policy in a request, or the default one, unless it would lock the caller out."""
    text = request.text("Policy")
    policy = parse_policy(text) if text else default_policy(request.store.account_id)
    locked_out = policy.denies(request.policy_request("PutKeyPolicy"))
    if locked_out and not request.flag("BypassPolicyLockoutSafetyCheck") and not request.caller.is_owner:
        raise KmsServiceError(
            "MalformedPolicyDocumentException",
            "The new key policy will not allow you to update the key policy in the future.",
        )
    return policy


def _new_family(request: Request) -> KeyFamily:
    """Return the family of a new key, without material."""
    spec = request.text("KeySpec") or request.text("CustomerMasterKeySpec") or "SYMMETRIC_DEFAULT"
    usage = request.text("KeyUsage") or "ENCRYPT_DECRYPT"
    if usage not in _usages_of(spec):
        raise invalid(f"KeyUsage {usage} is not compatible with KeySpec {spec}")
    origin = request.text("Origin") or "AWS_KMS"
    multi_region = request.flag("MultiRegion")
    in_custom_store = origin in ("AWS_CLOUDHSM", "EXTERNAL_KEY_STORE")
    if in_custom_store is not bool(request.text("CustomKeyStoreId")):
        raise invalid(f"CustomKeyStoreId does not go with Origin {origin}")
    if in_custom_store and (multi_region or spec != "SYMMETRIC_DEFAULT"):
        raise unsupported("Keys in custom key stores are symmetric encryption keys of one Region.")
    return KeyFamily(
        key_id=new_key_id(request.store.random, multi_region=multi_region),
        spec=spec,
        usage=usage,
        origin=origin,
        multi_region=multi_region,
        primary_region=request.caller.region,
        custom_key_store_id=request.text("CustomKeyStoreId") or None,
    )


def _add(request: Request, family: KeyFamily, region: str, tags: dict[str, str]) -> RegionalKey:
    """Make the key of a family in one Region."""
    store = request.store
    key = RegionalKey(
        family=family,
        region=region,
        arn=store.arn(region, f"key/{family.key_id}"),
        created=store.clock(),
        policy=policy_of(request),
        state=ENABLED if family.materials else PENDING_IMPORT,
        description=request.text("Description"),
        tags=tags,
    )
    store.add(key)
    return key


def create_key(request: Request) -> Answer:
    """CreateKey. Asymmetric and HMAC keys can be made and described, but not used."""
    family = _new_family(request)
    if family.origin != "EXTERNAL":
        family.materials.append(KeyMaterial(request.store.random(32), request.store.clock()))
    key = _add(request, family, request.caller.region, request.mapping("Tags"))
    return {"KeyMetadata": describe(request.store, key)}


def replicate_key(request: Request) -> Answer:
    """ReplicateKey. The replica is there at once; AWS takes a moment."""
    store, region = request.store, request.text("ReplicaRegion")
    primary = request.key()
    _require_primary(primary)
    primary.require_enabled()
    store.require_region(region)
    if store.find(region, primary.key_id) is not None:
        raise KmsServiceError("AlreadyExistsException", f"{primary.key_id} already exists in {region}.")
    replica = _add(request, primary.family, region, request.mapping("Tags"))
    tags = [{"TagKey": name, "TagValue": value} for name, value in replica.tags.items()]
    return {
        "ReplicaKeyMetadata": describe(store, replica),
        "ReplicaPolicy": replica.policy.text,
        "ReplicaTags": tags,
    }


def _require_primary(key: RegionalKey) -> None:
    if not key.family.multi_region or not key.is_primary:
        raise unsupported(f"{key.arn} is not a multi-Region primary key.")


def update_primary_region(request: Request) -> Answer:
    """UpdatePrimaryRegion."""
    primary = request.key()
    _require_primary(primary)
    primary.require_enabled()
    region = request.text("PrimaryRegion")
    replica = request.store.find(region, primary.key_id)
    if replica is None or replica is primary:
        raise KmsServiceError(
            "NotFoundException", f"{primary.key_id} has no replica in {region} that could become the primary."
        )
    replica.require_enabled()
    primary.family.primary_region = region
    return {}


def describe_key(request: Request) -> Answer:
    """DescribeKey."""
    return {"KeyMetadata": describe(request.store, request.key(aliases=True))}


def list_keys(request: Request) -> Answer:
    """ListKeys."""
    keys = request.store.keys(request.caller.region)
    return page(request, "Keys", [{"KeyId": key.key_id, "KeyArn": key.arn} for key in keys])


def update_key_description(request: Request) -> Answer:
    """UpdateKeyDescription."""
    key = request.key()
    key.require_not_pending()
    key.description = request.text("Description")
    return {}


def enable_key(request: Request) -> Answer:
    """EnableKey."""
    return _set_state(request, ENABLED)


def disable_key(request: Request) -> Answer:
    """DisableKey."""
    return _set_state(request, DISABLED)


def _set_state(request: Request, state: str) -> Answer:
    key = request.key()
    if key.state not in (ENABLED, DISABLED):
        raise key.wrong_state()
    key.state = state
    return {}


def schedule_key_deletion(request: Request) -> Answer:
    """ScheduleKeyDeletion. A primary with replicas waits for them without a date."""
    key = request.key()
    key.require_not_pending()
    key.pending_window_days = request.integer("PendingWindowInDays") or _DEFAULT_WINDOW_DAYS
    answer: Answer = {"KeyId": key.arn, "PendingWindowInDays": key.pending_window_days}
    if key.is_primary and len(request.store.replicas(key.family)) > 1:
        key.state = PENDING_REPLICA_DELETION
    else:
        key.doom(request.store.clock())
        answer["DeletionDate"] = key.deletion_date
    request.store.doomed[key.arn] = key
    return {**answer, "KeyState": key.state}


def cancel_key_deletion(request: Request) -> Answer:
    """CancelKeyDeletion. The key is disabled afterwards."""
    key = request.key()
    if not key.is_pending_deletion:
        raise KmsServiceError("KMSInvalidStateException", f"{key.arn} is not pending deletion.")
    key.state = DISABLED if key.family.materials else PENDING_IMPORT
    key.deletion_date = key.pending_window_days = None
    del request.store.doomed[key.arn]
    return {"KeyId": key.arn}
