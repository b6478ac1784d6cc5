"""The report on prepaid queries as one HTML page that needs nothing else."""

from __future__ import annotations

from typing import Final

from tinyseal.fleet.ledger import money
from tinyseal.fleet.pages import render
from tinyseal.fleet.reconcile import Balance, Reconciled

MAX_ROWS: Final = 1000  # of devices, and of findings, on the page


class Page:
    """Keeps the first MAX_ROWS balances that it is given; all of them are in the CSV."""

    def __init__(self) -> None:
        self._balances: list[Balance] = []
        self._more = 0

    def take(self, balance: Balance) -> None:
        if len(self._balances) < MAX_ROWS:
            self._balances.append(balance)
        else:
            self._more += 1

    def render(self, result: Reconciled) -> str:
        return render(
            "meter_report.html.j2",
            result=result,
            totals=sorted(result.totals.items()),
            names={subject: t.name or subject[:16] for subject, t in result.totals.items()},
            findings=result.findings[:MAX_ROWS],
            more_findings=max(0, len(result.findings) - MAX_ROWS),
            balances=self._balances,
            more_balances=self._more,
            money=money,
        )
