"""What all operations of a soak share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.soak.contents import Contents
from tests.soak.model import Model

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True)
class Scene:
    """Where operations happen.

    Args:
        clients: Each request takes one of them.
        folder: For files.
    """

    clients: list[S3Client]
    bucket: str
    model: Model
    contents: Contents
    folder: Path


class Operations:
    """Operations of one scene."""

    def __init__(self, scene: Scene) -> None:
        self._clients, self._bucket, self._folder = scene.clients, scene.bucket, scene.folder
        self._model, self._contents = scene.model, scene.contents
