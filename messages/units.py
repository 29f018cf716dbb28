"""Numbers that must not be mistaken for each other. At run time they are plain integers."""

from typing import NewType

JobId = NewType("JobId", int)
# The place of a delivered job in its session, from 1.
DeliveryNumber = NewType("DeliveryNumber", int)
# Durations, and moments of either clock.
Ms = NewType("Ms", int)
Us = NewType("Us", int)
