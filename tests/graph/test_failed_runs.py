"""What happens to runs that fail: somebody is told, and one whose worker is gone does not stay open for ever."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.events import EngineEventData

from twin_assets import alerts
from twin_assets.maintenance import UNSTARTED_GRACE, fail_abandoned_runs
from twin_assets.resources import with_settings
from twin_assets.sensors import failure_alert
from twin_core.errors import ServiceUnavailable
from twin_core.settings import Settings


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, object]]]]:
    got: list[dict[str, object]] = []

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(500 if self.path == "/broken" else 204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    server.server_close()


def started(instance: dg.DagsterInstance, *, pid: int | None) -> dg.DagsterRun:
    @dg.job
    def work() -> None: ...

    run = instance.create_run_for_job(work, status=dg.DagsterRunStatus.STARTED)
    if pid is not None:
        instance.report_engine_event("Started process for run", run, EngineEventData.in_process(pid))
    return run


def status(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


def test_a_run_whose_process_is_gone_is_reported_failed(instance: dg.DagsterInstance) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    run = started(instance, pid=process.pid)
    process.wait()

    assert fail_abandoned_runs(instance) == [run.run_id]
    assert status(instance, run) == dg.DagsterRunStatus.FAILURE


def test_a_run_whose_process_lives_is_left_alone(instance: dg.DagsterInstance) -> None:
    run = started(instance, pid=os.getpid())
    assert fail_abandoned_runs(instance) == []
    assert status(instance, run) == dg.DagsterRunStatus.STARTED


def test_a_run_that_no_process_took_is_given_a_while(instance: dg.DagsterInstance) -> None:
    run = started(instance, pid=None)
    assert fail_abandoned_runs(instance) == []
    later = datetime.now(UTC) + UNSTARTED_GRACE + timedelta(minutes=1)
    assert fail_abandoned_runs(instance, now=later) == [run.run_id]


def test_a_failed_run_is_told_to_the_webhook_without_quoting_the_error(
    settings: Settings, webhook: tuple[str, list[dict[str, object]]]
) -> None:
    url, got = webhook
    given = settings.model_copy(update={"alert_url": Settings(alert_url=url, _env_file=None).alert_url})

    @dg.op
    def clean() -> None:
        raise ValueError("what the document said")

    @dg.job
    def refresh() -> None:
        clean()

    with dg.DagsterInstance.ephemeral() as instance:
        result = refresh.execute_in_process(instance=instance, raise_on_error=False, tags={"dagster/partition": "ann"})
        with dg.build_run_status_sensor_context(
            sensor_name="failure_alert",
            dagster_event=result.get_run_failure_event(),
            dagster_instance=instance,
            dagster_run=result.dagster_run,
            resources={"twin": with_settings(given)},
        ).for_run_failure() as context:
            failure_alert(context)

    (alert,) = got
    assert alert["event"] == "run_failed"
    assert (alert["job"], alert["author"], alert["run_id"]) == ("refresh", "ann", result.run_id)
    assert list(alert["steps"]) == ["clean"]
    assert "what the document said" not in json.dumps(alert)


def test_a_webhook_that_refuses_is_an_error(settings: Settings, webhook: tuple[str, list[dict[str, object]]]) -> None:
    url, _ = webhook
    given = settings.model_copy(update={"alert_url": Settings(alert_url=f"{url}/broken", _env_file=None).alert_url})
    with pytest.raises(ServiceUnavailable, match="TWIN_ALERT_URL") as refused:
        alerts.send(given, {"event": "run_failed"})
    assert url not in str(refused.value)


def test_without_a_webhook_the_log_is_told(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    alerts.send(settings, {"event": "run_failed", "job": "refresh"})
    assert "event=run_failed job=refresh" in caplog.text
