"""SMP group 65, prepaid queries: its messages (firmware/SPEC.md)."""

from __future__ import annotations

import enum
from typing import Final

from smp import message
from smp.error import ErrorV1, ErrorV2

from tinyseal.device.smp_group import ReadAnswer, WriteAnswer

METER_GROUP: Final = 65


class MeterError(enum.IntEnum):
    """Reasons of the group, as enum smp_meter_rc."""

    OK = 0
    EMPTY = 1
    WORN = 2
    RECORDS = 3
    ROLLBACK = 4
    FORM = 5
    TYPED = 6
    DEVICE = 7
    MODEL = 8
    SIGNATURE = 9
    USED = 10
    LATE = 11
    FULL = 12
    IDENTITY = 13
    FLASH = 14
    UNMETERED = 15


REASONS: Final = {
    MeterError.OK: "ok",
    MeterError.EMPTY: "no prepaid query is left for this model",
    MeterError.WORN: "its counter or its storage are near the end of their life",
    MeterError.RECORDS: "its records of prepaid queries are missing or do not verify",
    MeterError.ROLLBACK: "its records are older than its counter: its flash was put back",
    MeterError.FORM: "this is no voucher",
    MeterError.TYPED: "the voucher has a typing error",
    MeterError.DEVICE: "the voucher is for another device",
    MeterError.MODEL: "the voucher is for a model that is not on this device",
    MeterError.SIGNATURE: "nobody whose vouchers it takes signed this voucher",
    MeterError.USED: "the voucher was redeemed before, or is too old",
    MeterError.LATE: "the voucher was good for a lower count only",
    MeterError.FULL: "it has no room for another model, or for so large a balance",
    MeterError.IDENTITY: "it was given no id, key or vendor's key; tinyseal provision does that",
    MeterError.FLASH: "its flash failed",
    MeterError.UNMETERED: "the model it runs is not metered",
}


class MeterErrorV1(ErrorV1):
    _GROUP_ID = METER_GROUP


class MeterErrorV2(ErrorV2[MeterError]):
    _GROUP_ID = METER_GROUP


class StatusResponse(ReadAnswer):
    _GROUP_ID = METER_GROUP
    _COMMAND_ID = 0

    status: int  # a MeterError: why nothing is served
    balance: int
    counter: int
    life: int  # commits until the counter is worn out
    model: bytes
    family: bytes  # zeros: none


class RedeemResponse(WriteAnswer):
    _GROUP_ID = METER_GROUP
    _COMMAND_ID = 1

    balance: int


class ReceiptResponse(ReadAnswer):
    _GROUP_ID = METER_GROUP
    _COMMAND_ID = 2

    receipt: bytes


class KeyResponse(ReadAnswer):
    _GROUP_ID = METER_GROUP
    _COMMAND_ID = 3

    id: bytes
    key: bytes


class _Read(message.ReadRequest):
    _GROUP_ID = METER_GROUP
    _ErrorV1 = MeterErrorV1
    _ErrorV2 = MeterErrorV2


class _Write(message.WriteRequest):
    _GROUP_ID = METER_GROUP
    _ErrorV1 = MeterErrorV1
    _ErrorV2 = MeterErrorV2


class StatusRead(_Read):
    _COMMAND_ID = 0
    _Response = StatusResponse


class RedeemWrite(_Write):
    _COMMAND_ID = 1
    _Response = RedeemResponse

    voucher: bytes


class ReceiptRead(_Read):
    """`have` is the number of the newest receipt that is known; 0 for none."""

    _COMMAND_ID = 2
    _Response = ReceiptResponse

    have: int


class KeyRead(_Read):
    _COMMAND_ID = 3
    _Response = KeyResponse
