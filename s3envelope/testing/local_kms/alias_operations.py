"""Aliases."""

from __future__ import annotations

import re

from s3envelope.testing.local_kms.errors import KmsServiceError, invalid, not_found
from s3envelope.testing.local_kms.keys import RegionalKey
from s3envelope.testing.local_kms.paging import page
from s3envelope.testing.local_kms.request import Answer, Request
from s3envelope.testing.local_kms.store import Alias

_ALIAS_NAME = re.compile(r"alias/[a-zA-Z0-9/_-]+", re.ASCII)


def _alias_name(request: Request) -> str:
    name = request.text("AliasName")
    if not name.startswith("alias/"):
        raise invalid("Invalid identifier: an alias must start with 'alias/'")
    if not _ALIAS_NAME.fullmatch(name) or name.startswith("alias/aws/"):
        raise KmsServiceError("InvalidAliasNameException", f"{name} is not a name that an alias may have.")
    return name


def _existing_alias(request: Request) -> Alias:
    name, region = _alias_name(request), request.caller.region
    alias = request.store.aliases(region).get(name)
    if alias is None:
        raise not_found(f"Alias {request.store.arn(region, name)} is not found.")
    return alias


def _target(request: Request) -> RegionalKey:
    sent = request.text("TargetKeyId")
    if sent.startswith("alias/") or ":alias/" in sent:
        raise invalid("Aliases must refer to keys. Not aliases")
    key = request.key("TargetKeyId")
    key.require_not_pending()
    return key


def create_alias(request: Request) -> Answer:
    """CreateAlias."""
    store, region, name = request.store, request.caller.region, _alias_name(request)
    key = _target(request)
    arn = store.arn(region, name)
    if name in store.aliases(region):
        raise KmsServiceError("AlreadyExistsException", f"An alias with the name {arn} already exists")
    now = store.clock()
    store.aliases(region)[name] = Alias(name, arn, key.key_id, now, now)
    return {}


def update_alias(request: Request) -> Answer:
    """UpdateAlias. Both keys must have the same type and usage."""
    store = request.store
    alias, key = _existing_alias(request), _target(request)
    old = store.find(request.caller.region, alias.key_id)
    if old is not None:
        request.authorize(old)
        if (old.family.spec, old.family.usage) != (key.family.spec, key.family.usage):
            raise invalid("The current and the new key of an alias must have the same type and usage.")
    alias.key_id, alias.updated = key.key_id, store.clock()
    return {}


def delete_alias(request: Request) -> Answer:
    """DeleteAlias."""
    alias = _existing_alias(request)
    key = request.store.find(request.caller.region, alias.key_id)
    if key is not None:
        request.authorize(key)
    del request.store.aliases(request.caller.region)[alias.name]
    return {}


def list_aliases(request: Request) -> Answer:
    """ListAliases, without the aliases of keys that AWS manages: there are none."""
    region = request.caller.region
    aliases = list(request.store.aliases(region).values())
    if request.text("KeyId"):
        aliases = request.store.aliases_of(request.key())
    entries = [
        {
            "AliasName": alias.name,
            "AliasArn": alias.arn,
            "TargetKeyId": alias.key_id,
            "CreationDate": alias.created,
            "LastUpdatedDate": alias.updated,
        }
        for alias in sorted(aliases, key=lambda alias: alias.name)
    ]
    return page(request, "Aliases", entries)
