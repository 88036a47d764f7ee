"""A session factory as Airflow's configuration names it, in a module of its own: it is imported by Airflow."""

from __future__ import annotations

from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import BaseSessionFactory

import s3envelope


class EnvelopedSessionFactory(BaseSessionFactory):  # type: ignore[misc]  # Airflow is not there for mypy
    """Makes the sessions of all hooks of AWS."""

    def create_session(self, *args: Any, **kwargs: Any) -> Any:
        session = super().create_session(*args, **kwargs)
        s3envelope.install(session, kms_key_id="alias/orders")
        return session
