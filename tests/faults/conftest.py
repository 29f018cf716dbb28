"""Puts `faulting`, the soak's tools and the history checker on the path; builds the library that breaks the disk."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "soak"))
sys.path.insert(0, str(Path(__file__).parents[1] / "history"))

from faulting.disk import NoCompiler, build
from faulting.forge import Forge
from faulting.scene import Scene


@pytest.fixture(scope="session")
def disk_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return build(tmp_path_factory.mktemp("disk"))
    except NoCompiler as error:
        pytest.skip(f"EXACT DISK FAULTS ARE NOT TESTED HERE: {error}")


@pytest.fixture(scope="session")
def forge() -> Iterator[Forge]:
    """Starts brokers and workers quickly, without faults of the disk."""
    with Forge() as forge:
        yield forge


@pytest.fixture(scope="session")
def disk_forge(disk_library: Path) -> Iterator[Forge]:
    """The same, with faults of the disk."""
    with Forge(disk_library) as forge:
        yield forge


@pytest.fixture
def scene(forge: Forge) -> Iterator[Scene]:
    with Scene(forge) as scene:
        yield scene
