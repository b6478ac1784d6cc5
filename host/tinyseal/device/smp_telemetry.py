"""SMP group 66, telemetry and consent: its messages (firmware/SPEC.md)."""

from __future__ import annotations

import enum
from typing import Final

from smp import message
from smp.error import ErrorV1, ErrorV2

from tinyseal.device.smp_group import ReadAnswer, WriteAnswer

TELEMETRY_GROUP: Final = 66


class TelemetryError(enum.IntEnum):
    """Reasons of the group, as enum smp_telemetry_rc."""

    NOT_ALLOWED = 1
    FORM = 2
    DEVICE = 3
    SIGNATURE = 4
    OLD = 5
    IDENTITY = 6
    FLASH = 7
    LINK = 8
    NO_LOG = 9


REASONS: Final = {
    TelemetryError.NOT_ALLOWED: "its owner does not allow it; tinyseal observe consent",
    TelemetryError.FORM: "this is no consent",
    TelemetryError.DEVICE: "the consent is for another device",
    TelemetryError.SIGNATURE: "the consent is not signed by the device's owner",
    TelemetryError.OLD: "it has a consent with the same number or a higher one",
    TelemetryError.IDENTITY: "it was given no id or no owner; tinyseal provision --owner-key",
    TelemetryError.FLASH: "its flash failed",
    TelemetryError.LINK: "its owner does not allow it over this link",
    TelemetryError.NO_LOG: "this board keeps no log",
}


class TelemetryErrorV1(ErrorV1):
    _GROUP_ID = TELEMETRY_GROUP


class TelemetryErrorV2(ErrorV2[TelemetryError]):
    _GROUP_ID = TELEMETRY_GROUP


class TelemetryStatusResponse(ReadAnswer):
    """Without consent, the first two only."""

    _GROUP_ID = TELEMETRY_GROUP
    _COMMAND_ID = 0

    level: int
    consent: int  # number of the one in force; 0: there is none
    links: int = 0
    epsilon: int = 0
    budget: int = 0
    spent: int = 0
    window: int = 0
    count: int = 0
    next: int = 0  # number of the next record; 0: this board keeps no log
    reference: bool = False


class RecordResponse(ReadAnswer):
    """Without a number: there is none."""

    _GROUP_ID = TELEMETRY_GROUP
    _COMMAND_ID = 1

    number: int = 0
    len: int = 0
    off: int = 0
    data: bytes = b""


class ConsentResponse(WriteAnswer):
    _GROUP_ID = TELEMETRY_GROUP
    _COMMAND_ID = 2

    level: int


class _Read(message.ReadRequest):
    _GROUP_ID = TELEMETRY_GROUP
    _ErrorV1 = TelemetryErrorV1
    _ErrorV2 = TelemetryErrorV2


class _Write(message.WriteRequest):
    _GROUP_ID = TELEMETRY_GROUP
    _ErrorV1 = TelemetryErrorV1
    _ErrorV2 = TelemetryErrorV2


class TelemetryStatusRead(_Read):
    _COMMAND_ID = 0
    _Response = TelemetryStatusResponse


class RecordRead(_Read):
    """The first record with a number above `after`, from byte `off` on."""

    _COMMAND_ID = 1
    _Response = RecordResponse

    after: int
    off: int = 0


class ConsentWrite(_Write):
    _COMMAND_ID = 2
    _Response = ConsentResponse

    consent: bytes
