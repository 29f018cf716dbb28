"""Writes the manual pages anew: python -m tests.contract.man_pages."""

from __future__ import annotations

from pathlib import Path

from zjobs.broker.cli.usage import ZBROKER
from zjobs.client.cli.usage import ZCLIENT
from zjobs.gateway.usage import ZGATEWAY
from zjobs.program.cli.man import man_page
from zjobs.worker.usage import ZWORKER

FOLDER = Path(__file__).parents[2] / "docs/man"


def pages() -> dict[Path, str]:
    """Each file, and what belongs there."""
    return {FOLDER / f"{program.name}.1": man_page(program) for program in (ZBROKER, ZCLIENT, ZGATEWAY, ZWORKER)}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for path, page in pages().items():
        path.write_text(page, encoding="utf-8")
