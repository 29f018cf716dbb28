"""The session of a broker with its database, cut at every message in turn, while jobs come and go."""

from __future__ import annotations

from soaking.asker import NoAnswer

from faulting.campaign import Campaign
from faulting.forge import Forge
from faulting.scene import Scene
from tests.postgres import Postgres
from tests.postgres_link import Link

HOW = ("before", "during", "after")


class SessionCampaign(Campaign):
    """Cuts before, during or after the messages `first`, `first` + `step`, … of one broker, which lives on."""

    def __init__(self, forge: Forge, server: Postgres, link: Link, how: str) -> None:
        super().__init__(forge, "broker", "message", how)
        self._link = link
        self._how = how
        self._url = link.through(server.emptied())

    def _prepare(self, scene: Scene) -> None:
        scene.database = self._url

    def _point(self, scene: Scene, nth: int) -> bool:
        """Two requests up to the ends of their jobs, with a cut on the way; whether it came to that."""
        self._link.how, self._link.left = self._how, nth
        try:
            self._load(scene)
        except NoAnswer:
            self._troubles.append(f"no answer, cut {self._how} message {nth}")
        fired, self._link.left = self._link.left is None, None
        if scene.broker.code() is not None:
            self._troubles.append(f"the broker ended, cut {self._how} message {nth}: {scene.broker.log[-2000:]}")
            scene.start_broker().ready()
        return fired
