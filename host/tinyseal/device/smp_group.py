"""What the messages of our own SMP groups have in common."""

from __future__ import annotations

from pydantic import ConfigDict
from smp import message


class ReadAnswer(message.ReadResponse):
    """What a newer device adds is passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class WriteAnswer(message.WriteResponse):
    """What a newer device adds is passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)
