"""Integers in requests."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

# As large as ids and times may be here: a bit below the protocol's 2⁶³ - 1, which a schema, whose bounds are floating
# point, would tell as 9223372036854776000.
MOST = 9_223_372_036_854_775_000


def _whole(value: Any) -> Any:
    """JSON Schema takes 5.0 for an integer, and so do we; no text and no true."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


# Behind the bounds of an integer that is strict.
WHOLE = BeforeValidator(_whole)

JobNumber = Annotated[int, Field(ge=1, le=MOST), WHOLE]
