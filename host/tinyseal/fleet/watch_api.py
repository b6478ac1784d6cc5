"""The dashboard over HTTP, what `tinyseal observe serve` serves: pages, JSON, and metrics.

It only reads, and asks nobody who they are: for this machine, or for behind a proxy that does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from tinyseal import __version__
from tinyseal.errors import FleetError
from tinyseal.fleet.alerts import Rule, alerts
from tinyseal.fleet.metrics import exposition, families
from tinyseal.fleet.watch import Fleet, Watched, fleet_verdict, window_json
from tinyseal.fleet.watch_page import watch_page

REFRESH: Final = 30  # seconds
# Pages have their style in themselves and nothing else.
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


def make_app(fleet: Fleet, rules: Sequence[Rule], clock: Callable[[], datetime]) -> FastAPI:
    app = FastAPI(
        title="tinyseal observe",
        version=__version__,
        description="How models do in the field.",
    )
    lock = threading.Lock()  # FastAPI calls from many threads

    def look() -> list[Watched]:
        with lock:
            return fleet.look()

    def one(device: str) -> Watched:
        found = next((d for d in look() if d.id == device), None)
        if found is None:
            raise HTTPException(404, "nothing was pulled from this device")
        return found

    def page(devices: list[Watched]) -> HTMLResponse:
        now = clock()
        text = watch_page(devices, alerts(devices, rules, now), now, REFRESH)
        return HTMLResponse(text, headers={"Content-Security-Policy": POLICY})

    @app.exception_handler(FleetError)
    def refuse(request: Request, error: FleetError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 503)

    @app.get("/", include_in_schema=False)
    def fleet_page() -> HTMLResponse:
        return page(look())

    @app.get("/device/{device}", include_in_schema=False)
    def device_page(device: str) -> HTMLResponse:
        return page([one(device)])

    @app.get("/v1/devices")
    def devices() -> dict[str, Any]:
        """What is known of the fleet, and the verdict on drift."""
        found = look()
        return {"verdict": fleet_verdict(found), "devices": [d.to_json() for d in found]}

    @app.get("/v1/devices/{device}")
    def device_json(device: str) -> dict[str, Any]:
        """One device, with its windows."""
        found = one(device)
        return {**found.to_json(), "records": [window_json(w) for w in found.windows]}

    @app.get("/v1/alerts")
    def alert_list() -> list[dict[str, Any]]:
        """The rules that devices break."""
        return [a.to_json() for a in alerts(look(), rules, clock())]

    @app.get("/metrics")
    def metrics(request: Request) -> Response:
        """For Prometheus, in the form that it asks for: OpenMetrics or its own."""
        text, form = exposition(families(look(), clock()), request.headers.get("accept", ""))
        return Response(text, media_type=form)

    return app
