"""Integers in requests."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

# As large as ids and times may be here: a bit below the protocol's 2⁶³ - 1, which a schema, whose bounds are floating
# point, would show as 9223372036854776000.
MOST = 9_223_372_036_854_775_000


def _whole(value: Any) -> Any:
    """Accept 5.0 as an integer, as JSON Schema does, but neither text nor true."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


# To be put after the bounds of a strict integer.
WHOLE = BeforeValidator(_whole)

JobNumber = Annotated[int, Field(ge=1, le=MOST), WHOLE]
