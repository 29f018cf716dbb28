"""Passwords: hashed with argon2, which is slow on purpose, so never in the event loop and few at once."""

from __future__ import annotations

import asyncio
import base64
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from argon2 import Parameters, extract_parameters
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from zjobs.gateway.config import PasswordCost

SHORTEST, LONGEST = 12, 256  # characters of a new password
_AT_ONCE = 2  # each takes its memory_cost
_WAITING = 16

T = TypeVar("T")


class Busy(Exception):
    """Too many passwords wait to be checked."""


class Verdict(NamedTuple):
    """The verdict on a password, and its new hash if the kept one is cheaper than hashes are now."""

    right: bool
    new_hash: str | None


class Passwords:
    """Makes hashes and checks them, in threads."""

    def __init__(self, cost: PasswordCost) -> None:
        self._cost = cost
        self._argon2 = PasswordHash([Argon2Hasher(cost.time_cost, cost.memory_cost, cost.parallelism)])
        self._threads = ThreadPoolExecutor(_AT_ONCE, "argon2")
        self._pending = 0
        self._nobodys = _no_hash(cost)

    async def hash(self, password: str) -> str:
        """Return the hash to keep. Raises Busy."""
        return await self._in_thread(lambda: self._argon2.hash(_normal(password)))

    async def check(self, password: str, kept: str | None) -> Verdict:
        """Compare with the hash that is kept. None, for somebody unknown, takes as long. Raises Busy."""
        return await self._in_thread(lambda: self._checked(_normal(password), kept))

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()

    def _checked(self, password: str, kept: str | None) -> Verdict:
        right = self._argon2.verify(password, kept or self._nobodys) and kept is not None
        rises = right and kept is not None and _cheaper(extract_parameters(kept), self._cost)
        return Verdict(right, self._argon2.hash(password) if rises else None)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._pending >= _AT_ONCE + _WAITING:
            raise Busy
        self._pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._pending -= 1


def random_password() -> str:
    """Return a password that nobody guesses (120 bits)."""
    return secrets.token_urlsafe(15)


def _no_hash(cost: PasswordCost) -> str:
    """Return a value that looks like a hash, costs as much to compare with, and matches no password."""
    salt, digest = (base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (16, 32))
    return f"$argon2id$v=19$m={cost.memory_cost},t={cost.time_cost},p={cost.parallelism}${salt}${digest}"


def _normal(password: str) -> str:
    """Normalise a password: ü is one character on some keyboards and two on others."""
    return unicodedata.normalize("NFKC", password)


def _cheaper(kept: Parameters, cost: PasswordCost) -> bool:
    """Return True if a cost rose and none fell, so that gateways with different settings do not undo each other's."""
    pairs = ((kept.time_cost, cost.time_cost), (kept.memory_cost, cost.memory_cost))
    return any(old < new for old, new in pairs) and all(old <= new for old, new in pairs)
