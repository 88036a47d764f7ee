"""Key policies and tags."""

from __future__ import annotations

from s3envelope.testing.local_kms.errors import KmsServiceError, not_found
from s3envelope.testing.local_kms.key_operations import policy_of
from s3envelope.testing.local_kms.keys import RegionalKey
from s3envelope.testing.local_kms.paging import page
from s3envelope.testing.local_kms.request import Answer, Request

_MAX_TAGS = 50


def _require_default_name(request: Request) -> None:
    if request.text("PolicyName") not in ("", "default"):
        raise not_found("No such policy exists: the only key policy is named 'default'")


def put_key_policy(request: Request) -> Answer:
    """PutKeyPolicy."""
    key = request.key()
    _require_default_name(request)
    key.policy = policy_of(request)
    return {}


def get_key_policy(request: Request) -> Answer:
    """GetKeyPolicy."""
    key = request.key()
    _require_default_name(request)
    return {"Policy": key.policy.text, "PolicyName": "default"}


def list_grants(request: Request) -> Answer:
    """ListGrants: there are none, for none can be made."""
    request.key()
    return page(request, "Grants", [])


def _taggable(request: Request) -> RegionalKey:
    key = request.key()
    key.require_not_pending()
    return key


def tag_resource(request: Request) -> Answer:
    """TagResource."""
    key = _taggable(request)
    tags = {**key.tags, **request.mapping("Tags")}
    if len(tags) > _MAX_TAGS:
        raise KmsServiceError("LimitExceededException", f"{key.arn} would have more than {_MAX_TAGS} tags.")
    key.tags = tags
    return {}


def untag_resource(request: Request) -> Answer:
    """UntagResource."""
    key = _taggable(request)
    for name in request.strings("TagKeys"):
        key.tags.pop(name, None)
    return {}


def list_resource_tags(request: Request) -> Answer:
    """ListResourceTags."""
    tags = request.key().tags
    return page(request, "Tags", [{"TagKey": name, "TagValue": tags[name]} for name in sorted(tags)])
