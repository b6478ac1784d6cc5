"""The dashboard in a browser, from one file and served; the fleet's alerts and metrics."""

import http.server
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from playwright.sync_api import sync_playwright
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as plain_families
from typer.testing import CliRunner

from support.watched_fleet import DRIFTED, FAULTY, SILENT, STEADY, WINDOW, store_fleet
from tinyseal.build.firmware import ROOT
from tinyseal.cli import app
from tinyseal.errors import FleetError, UsageError
from tinyseal.fleet.alerts import Alert, alerts, parse_rule
from tinyseal.fleet.database import open_database
from tinyseal.fleet.metrics import BOUNDS, families, push
from tinyseal.fleet.report import AttemptRow, CampaignReport, DeviceRow, as_html
from tinyseal.fleet.telemetry import StoredRecord, store
from tinyseal.fleet.watch import Fleet

WINDOWS = 30
CONTRAST = """() => {
  // Of every text that can be seen, against what lies behind it: the least there is.
  const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(v => v / 255).map(
      v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = e => { for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor;
      if (!c.startsWith("rgba")) return c; } };
  let least = 99;
  for (const e of document.querySelectorAll("h1,h2,p,th,td,b,span,figcaption,text")) {
    const s = getComputedStyle(e);
    const [a, b] = [light(e.tagName == "text" ? s.fill : s.color), light(behind(e))];
    least = Math.min(least, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
  }
  return least; }"""
OVERLAPS = """() => {
  const out = [];
  for (const svg of document.querySelectorAll("figure svg")) {
    const edge = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")].map(
        t => [t.textContent, t.getBoundingClientRect()]);
    texts.forEach(([name, a], i) => {
      if (a.left < edge.left - 1 || a.right > edge.right + 1) out.push(name + " sticks out");
      for (const [other, b] of texts.slice(i + 1))
        if (a.left < b.right && b.left < a.right && a.top + 2 < b.bottom && b.top + 2 < a.bottom)
          out.push(name + " over " + other);
    });
  }
  return out; }"""


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    made = f"sqlite:///{tmp_path_factory.mktemp('fleet')}/fleet.db"
    store_fleet(open_database(made), WINDOWS)
    return made


@pytest.fixture(scope="module")
def fleet(url):
    return Fleet(open_database(url)).look()


@pytest.fixture(scope="module")
def browser():
    program = shutil.which("chromium")
    assert program, "chromium is missing: ./setup test"
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])


@contextmanager
def opened(browser, place, scheme="light", width=1280):
    """A page, and everything that it asks for or complains of."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    page = context.new_page()
    heard = []
    page.on("console", lambda m: heard.append(m.text))
    page.on("pageerror", lambda e: heard.append(str(e)))
    page.on("request", lambda r: heard.append(r.url))
    page.goto(place)
    yield page, heard
    context.close()


def observe(*words, code=0):
    done = CliRunner().invoke(app, ["observe", *map(str, words)])
    assert done.exit_code == code, (done.output, done.exception)
    return done.stdout


def test_one_file_shows_the_fleet_in_light_and_dark_and_narrow(browser, url, tmp_path):
    file = tmp_path / "fleet.html"
    observe("report", "--html", file, "--database", url)
    backs, pictures = set(), []
    for scheme in ("light", "dark"):
        for width in (1280, 400):
            with opened(browser, file.as_uri(), scheme, width) as (page, heard):
                assert heard == [file.as_uri()], "it needs nothing else"
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                assert page.evaluate(CONTRAST) >= 4.5, "text is told from what is behind it"
                assert page.evaluate(OVERLAPS) == []
                backs.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
                pictures.append(page.screenshot(full_page=True))
                ids = page.locator("section h2 code").all_inner_texts()
                assert ids[0] == DRIFTED and set(ids) == {DRIFTED, FAULTY, STEADY, SILENT}
    assert len(backs) == 2 and all(len(p) > 30_000 for p in pictures)
    with opened(browser, file.as_uri()) as (page, _):
        drifted = page.locator(f"#d{DRIFTED}")
        titles = drifted.locator("figcaption > b").all_inner_texts()
        assert titles == [
            "Drift", "Latency", "Confidence", "Queries", "Energy", "Where it drifts",
        ]  # fmt: skip
        assert "drift >= 2" in drifted.inner_text() and "■ drifted" in drifted.inner_text()
        assert drifted.locator("svg rect.shade").count() >= 5
        assert "input 4 level" in drifted.locator("svg").last.inner_html()
        first = drifted.locator("svg").first.locator("rect.hit").last
        assert re.fullmatch(
            rf"window {WINDOWS}: PSI [\d.]+, KS [\d.]+, JS [\d.]+, slow [\d.]+, mix [\d.]+",
            first.locator("title").inner_html(),
        )
        assert page.locator(f"#d{FAULTY} line.restart").count() == 2 * 5
        silent = page.locator(f"#d{SILENT} figcaption > b").all_inner_texts()
        assert silent == ["Latency", "Queries", "Energy"], "what its owner allows"
        assert page.locator("tbody tr").count() == 4


def campaign():
    """One of every outcome, and a long reason."""
    began = datetime(2026, 11, 21, 10, tzinfo=UTC)
    changes = (dict(image="app", version_before="1.0.0+0", hash_before="ab" * 32,
                    version_after="1.1.0+0", hash_after="cd" * 32),)  # fmt: skip
    rows = []
    for i, outcome in enumerate(("updated", "unchanged", "failed", "out of reach", "in doubt",
                                 "reverted", "refused", "cut", "waiting")):  # fmt: skip
        started = began + timedelta(seconds=3 * i)
        ended = None if outcome == "cut" else started + timedelta(seconds=5)
        reason = "no answer to 5 requests in a row" if outcome == "failed" else None
        made = AttemptRow(started, ended, outcome, reason, 12_000, changes)
        tries = () if outcome == "waiting" else (made,)
        rows.append(DeviceRow(f"kitchen-{i}", "qemu-m4", f"{i:032x}", i == 0, outcome, tries))
    image = {"file": "app_a.signed.bin", "version": "1.1.0", "hash": "ab" * 32, "bytes": 15_796}
    ended = began + timedelta(seconds=40)
    return CampaignReport(1, "autumn", "stopped", "too many failed", began, ended, (image,),
                          tuple(rows))  # fmt: skip


def test_a_campaigns_page_is_read_in_light_and_dark_and_narrow(browser, tmp_path):
    file = tmp_path / "campaign.html"
    file.write_text(as_html(campaign()))
    for scheme in ("light", "dark"):
        for width in (1280, 400):
            with opened(browser, file.as_uri(), scheme, width) as (page, heard):
                assert heard == [file.as_uri()]
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                assert page.evaluate(CONTRAST) >= 4.5
                edge = page.locator("svg").bounding_box()
                bars = [b.bounding_box() for b in page.locator("svg rect").all()]
                assert len(bars) == 8, "a bar for each attempt"
                assert all(b["x"] + b["width"] <= edge["x"] + edge["width"] for b in bars)


def test_lines_are_where_their_values_are(browser, fleet, url, tmp_path):
    """The last point of the largest PSI, in pixels between its ticks."""
    file = tmp_path / "fleet.html"
    observe("report", DRIFTED, "--html", file, "--database", url)
    wanted = next(d for d in fleet if d.id == DRIFTED).worst("psi")
    with opened(browser, file.as_uri()) as (page, _):
        svg = page.locator("figure svg").first
        ticks = svg.locator("text[text-anchor=end]").all_text_contents()
        lines = svg.locator("line:not(.floor):not(.restart)")
        zero, top = (lines.nth(i).bounding_box()["y"] for i in (0, len(ticks) - 1))
        box = svg.locator("circle.e1").bounding_box()
        share = (zero - box["y"] - box["height"] / 2) / (zero - top)
        assert share * float(ticks[-1]) == pytest.approx(wanted, rel=0.05)


@contextmanager
def serving(url):
    served = subprocess.Popen(
        [sys.executable, "-c", "from tinyseal.cli import main; main()", "observe", "serve",
         "--port", "0", "--database", url],
        stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "host")},
    )  # fmt: skip
    try:
        assert served.stderr is not None
        said = ""
        for line in served.stderr:
            said += line
            if found := re.search(r"running on (http://[\d.:]+)", line):
                threading.Thread(target=served.stderr.read, daemon=True).start()
                yield found[1]
                return
        raise AssertionError(said)
    finally:
        served.terminate()
        served.wait(10)


def test_served_it_shows_the_same_and_what_comes_later(browser, url, tmp_path):
    own = tmp_path / "fleet.db"
    with sqlite3.connect(url.removeprefix("sqlite:///")) as from_, sqlite3.connect(own) as to:
        from_.backup(to)
    engine = open_database(f"sqlite:///{own}")
    with serving(f"sqlite:///{own}") as at, httpx.Client(base_url=at) as client:
        with opened(browser, at + "/") as (page, heard):
            assert [h for h in heard if not h.endswith("/favicon.ico")] == [at + "/"]
            assert page.locator("section").count() == 4
            page.locator("tbody a").first.click()
            assert page.url == f"{at}/#d{DRIFTED}"
        with opened(browser, f"{at}/device/{STEADY}") as (page, _):
            assert page.locator("section").count() == 1
            assert page.locator("meta[http-equiv=refresh]").count() == 1
        told = client.get("/v1/devices").json()
        assert told["verdict"] == "drifted" and len(told["devices"]) == 4
        assert len(client.get(f"/v1/devices/{DRIFTED}").json()["records"]) == WINDOWS
        assert {a["device"] for a in client.get("/v1/alerts").json()} == {DRIFTED, FAULTY}
        assert client.get("/device/nobody").status_code == 404
        with engine.begin() as c:
            newest = c.execute(
                StoredRecord.__table__.select().where(StoredRecord.device_id == STEADY)
                .order_by(StoredRecord.id.desc())
            ).first()  # fmt: skip
            c.execute(StoredRecord.__table__.insert().values(
                device_id=STEADY, number=newest.number + 1, pulled=newest.pulled,
                bytes=newest.bytes))  # fmt: skip
        assert len(client.get(f"/v1/devices/{STEADY}").json()["records"]) == WINDOWS + 1
        answer = client.get("/metrics", headers={"Accept": "application/openmetrics-text"})
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        assert [*text_string_to_metric_families(answer.text)]
        answer = client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        assert [*plain_families(answer.text)]


def test_every_database_tells_the_same(url, fleet, database_url):
    engine = open_database(database_url)
    with open_database(url).connect() as c:
        rows = c.execute(StoredRecord.__table__.select()).all()
    for row in rows:
        assert store(engine, row.device_id, "qemu-m4", row.number, row.bytes)
        assert not store(engine, row.device_id, "qemu-m4", row.number, row.bytes)
    found = Fleet(engine).look()
    assert all(d.pulled.tzinfo is UTC for d in found)
    told = [[{**d.to_json(), "pulled": 0} for d in devices] for devices in (found, fleet)]
    assert told[0] == told[1]


def test_open_metrics_have_what_the_records_have(url, fleet):
    text = observe("export", "--openmetrics", "-", "--database", url)
    read = {f.name: f for f in text_string_to_metric_families(text)}

    def value(name, device, **labels):
        found = [
            s.value for s in read[f"tinyseal_{name.removesuffix('_total')}"].samples
            if s.name == f"tinyseal_{name}" and s.labels["device"] == device
            and labels.items() <= s.labels.items()
        ]  # fmt: skip
        return found[0] if found else None

    assert value("queries_total", STEADY) == WINDOWS * WINDOW
    assert value("verdict", DRIFTED, verdict="drifted") == 1
    assert value("verdict", STEADY, verdict="drifted") == 0
    assert value("starts_total", FAULTY, cause="fault") == 2
    assert value("confidence", SILENT) is None, "its owner does not allow it"
    drifted = next(d for d in fleet if d.id == DRIFTED)
    assert value("drift_distance", DRIFTED, statistic="psi") == drifted.worst("psi")
    assert value("inference_energy_joules", DRIFTED) == drifted.energy_nj / 1e9
    (buckets,) = [read["tinyseal_inference_duration_seconds"]]
    mine = [s for s in buckets.samples if s.labels["device"] == STEADY]
    by_name = {s.name.rsplit("_", 1)[1]: s.value for s in mine if "le" not in s.labels}
    assert by_name["count"] == WINDOWS * WINDOW
    steady = next(d for d in fleet if d.id == STEADY)
    total = sum(w.record.latency.mean * w.record.count for w in steady.windows)
    assert by_name["sum"] == pytest.approx(total)
    below = {float(s.labels["le"]): s.value for s in mine if "le" in s.labels}
    assert below[0.001] == 0 and below[0.05] == below[float("inf")] == WINDOWS * WINDOW
    assert 0 < below[0.005] < WINDOWS * WINDOW


@contextmanager
def receiver(status=200):
    """An OTLP receiver: what it was sent, as the protocol's own definitions read it."""
    got = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                import gzip

                body = gzip.decompress(body)
            got.append((self.path, ExportMetricsServiceRequest.FromString(body)))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1/metrics", got
    server.shutdown()


def test_an_otlp_receiver_gets_the_same(url, fleet):
    with receiver() as (endpoint, got):
        said = observe("export", "--otlp", endpoint, "--database", url)
    ((path, request),) = got
    assert path == "/v1/metrics"
    (resource,) = request.resource_metrics
    facts = {a.key: a.value.string_value for a in resource.resource.attributes}
    assert facts["service.name"] == "tinyseal"
    metrics = {m.name: m for m in resource.scope_metrics[0].metrics}
    points = [p for m in metrics.values()
              for p in getattr(m, m.WhichOneof("data")).data_points]  # fmt: skip
    assert said.startswith(f"{len(points)} points sent")

    def of(point):
        return {a.key: a.value.string_value for a in point.attributes}

    assert metrics["tinyseal.queries"].sum.is_monotonic
    queries = {of(p)["device"]: p.as_double for p in metrics["tinyseal.queries"].sum.data_points}
    assert queries[DRIFTED] == WINDOWS * WINDOW
    durations = metrics["tinyseal.inference_duration"]
    assert durations.unit == "s"
    for point in durations.histogram.data_points:
        assert point.count == sum(point.bucket_counts) == WINDOWS * WINDOW
        assert tuple(point.explicit_bounds) == BOUNDS
        assert point.min < point.sum / point.count < point.max


def test_a_receiver_that_is_away_or_refuses_is_told(fleet, monkeypatch):
    monkeypatch.setattr("tinyseal.fleet.metrics.TIMEOUT", 1)
    found = families(fleet, datetime.now(UTC))
    with pytest.raises(UsageError, match="expected as http"):
        push(found, "collector:4318", datetime.now(UTC))
    with receiver(400) as (endpoint, _), pytest.raises(FleetError, match=r"400|Bad Request"):
        push(found, endpoint, datetime.now(UTC))
    with pytest.raises(FleetError, match=r"127\.0\.0\.1:9"):
        push(found, "http://127.0.0.1:9/v1/metrics", datetime.now(UTC))


def test_rules_alert_by_what_is_known(fleet):
    now = max(d.pulled for d in fleet) + timedelta(hours=5)

    def found(*rules):
        return [(a.device, a.rule) for a in alerts(fleet, [parse_rule(r) for r in rules], now)]

    assert found("drift>=2") == [(DRIFTED, "drift >= 2")]
    assert found("faults > 1", "psi > 2") == [(DRIFTED, "psi > 2"), (FAULTY, "faults > 1")]
    assert [d for d, _ in found("silent > 4")] == [STEADY, DRIFTED, FAULTY, SILENT]
    assert [d for d, _ in found("confidence <= 1")] == [STEADY, DRIFTED, FAULTY]
    assert found("latency_p99 > 1e-1", "stack >= 0.5", "silent > 6") == []
    assert alerts(fleet, [parse_rule("stack > 0.1")], now)[0] == Alert(
        STEADY, "stack > 0.1", round(1000 / 8192, 6)
    )
    for bad, said in (
        ("psi 3", "expected as"), ("psi > x", "expected as"), ("", "expected as"),
        ("psi > 1e", "expected as"), ("mood > 3", "no measure 'mood'; there are drift, psi"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=said):
            parse_rule(bad)


def test_watch_and_report_end_with_3_for_alerts(url, tmp_path):
    empty = f"sqlite:///{tmp_path}/fleet.db"
    assert DRIFTED in observe("watch", "--rounds", 1, "--database", url, code=3)
    observe("watch", "--rounds", 2, "--every", 0.1, "--database", empty)
    lines = observe("watch", "--rounds", 5, "--every", 0.1, "--json", "--until-alert",
                    "--database", url, code=3).splitlines()  # fmt: skip
    (line,) = map(json.loads, lines)
    assert {a["device"] for a in line["alerts"]} == {DRIFTED, FAULTY}
    observe("report", "--database", url)
    observe("report", "--database", url, "--alert", code=3)
    observe("report", STEADY, "--database", url, "--alert")
    observe("report", STEADY, "--database", url, "--rule", "confidence < 0.9", code=3)
    assert "latency_p99" in observe("report", "--measures")
    done = CliRunner().invoke(app, ["observe", "export", "--database", url])
    assert done.exit_code == 1 and "--openmetrics FILE or --otlp URL" in str(done.exception)
