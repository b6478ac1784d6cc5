"""`tinyseal meter status|redeem|sync`: prepaid queries of one device, over serial and BLE."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import typer

from tinyseal.cli.database import DatabaseOption
from tinyseal.cli.meter import open_ledger
from tinyseal.cli.output import JsonOption, console, errors, print_json
from tinyseal.cli.place import Place, placed
from tinyseal.errors import UsageError

VoucherArgument = typer.Argument(
    ..., help="Text of a voucher, blanks or dashes between its groups; or a file of its bytes."
)


@placed
def status(as_json: bool = JsonOption, *, place: Place) -> None:
    """What a device has left of the model it runs.

    \b
    Example: tinyseal meter status --port /dev/ttyACM0
    """

    async def work() -> Any:
        from tinyseal.fleet.meter_sync import status as ask

        async with place.reached() as device:
            return await ask(device)

    told = asyncio.run(work())
    if as_json:
        print_json(dataclasses.asdict(told))
        return
    console.print(f"{told.balance:,} queries left, {told.counter:,} used in all", highlight=False)
    console.print(f"{told.life:,} until its counter is worn out", highlight=False)
    if told.reason:
        errors.print(told.reason, style="yellow", highlight=False)


@placed
def redeem(
    voucher: list[str] = VoucherArgument,
    database: str | None = DatabaseOption,
    as_json: bool = JsonOption,
    *,
    place: Place,
) -> None:
    """Redeem a voucher on a device. The ledger notes when, if the voucher is from it.

    \b
    Example: tinyseal meter redeem voucher.bin --port /dev/ttyACM0
    """
    from tinyseal.fleet.vouchers import from_text

    path = Path(voucher[0])
    if len(voucher) == 1 and path.suffix and not path.is_file():
        raise UsageError(f"{path}: no such file")
    try:
        is_file = len(voucher) == 1 and path.is_file()
        data = path.read_bytes() if is_file else from_text(" ".join(voucher))
    except OSError as e:
        raise UsageError(f"{path}: {e.strerror}") from e

    async def work() -> int:
        from tinyseal.fleet.meter_sync import redeem as carry

        async with place.reached() as device:
            return await carry(device, data, open_ledger(database))

    balance = asyncio.run(work())
    if as_json:
        print_json({"balance": balance})
    else:
        console.print(f"redeemed; {balance:,} queries left", highlight=False)


@placed
def sync(
    enroll: bool = typer.Option(
        False, "--enroll", help="Trust a device that is not known yet in what it says of itself."
    ),
    database: str | None = DatabaseOption,
    as_json: bool = JsonOption,
    *,
    place: Place,
) -> None:
    """Fetch a device's receipts into the ledger, and judge them. Exit code 1 if anything is wrong.

    \b
    Example: tinyseal meter sync --ble greenhouse-3
    """

    async def work() -> Any:
        from tinyseal.fleet.meter_sync import sync as fetch

        async with place.reached() as device:
            return await fetch(device, open_ledger(database), enroll)

    done = asyncio.run(work())
    findings = [dataclasses.asdict(f) for f in done.findings]
    if as_json:
        print_json(
            {
                "device": done.device,
                "new_receipts": done.new,
                "sequence": done.newest.sequence,
                "counter": done.newest.counter,
                "findings": findings,
            }
        )
    else:
        console.print(
            f"{done.device}: {done.new} new receipts, the newest is {done.newest.sequence}; "
            f"{done.newest.counter:,} queries in all",
            highlight=False,
        )
        for f in done.findings:
            errors.print(f"{f.kind}: {f.text}", style="red", highlight=False)
    if findings:
        raise typer.Exit(1)
