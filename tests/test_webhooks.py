"""MLflow's own webhooks, as docs/retuning.md tells to set them up: a real server, a real listener, a real signature."""

import base64
import hashlib
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from fault_servers import Server

DOCS = Path(__file__).parents[1] / "docs" / "retuning.md"
KEY = base64.urlsafe_b64encode(b"0" * 32).decode()


def documented(mark):
    """The code of the page's Webhooks section that holds ``mark``."""
    section = DOCS.read_text(encoding="utf-8").partition("## Webhooks")[2]
    (code,) = [part.partition("```")[0] for part in section.split("```python\n")[1:] if mark in part]
    return code


@pytest.fixture
def listener():
    """An address on loopback, and what was posted to it: (headers, body)."""
    found = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            found.append((self.headers, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/autoreg", found
    server.shutdown()
    thread.join()
    server.server_close()


def wait_for(found, count, seconds=60):
    deadline = time.monotonic() + seconds
    while len(found) < count and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(found) == count, found
    return [json.loads(body) for _, body in found]


@pytest.mark.slow
def test_a_promotion_is_told_and_signed(tmp_path, monkeypatch, listener):
    address, found = listener
    monkeypatch.setenv("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY", KEY)
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOWED_SCHEMES", "http,https")
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")
    with Server(tmp_path) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.store.uri)
        made = {"SECRET": "a secret of 2026", "ADDRESS": address}
        exec(compile(documented("create_webhook"), "retuning.md", "exec"), made)
        client = made["client"]
        done = client.test_webhook(made["webhook"].webhook_id)
        assert (done.success, done.response_status) == (True, 204), done.error_message
        found.clear()

        from autoreg.registry import promote

        client.create_registered_model("churn")
        run = client.create_run(client.create_experiment("churn"))
        for number in ("1", "2"):
            client.create_model_version("churn", f"{run.info.artifact_uri}/model", run.info.run_id)
            promote("churn", number, "champion", "by hand")
        told = wait_for(found, 5)
        server.stop()
    versions = [t["data"]["version"] for t in told if t["entity"] == "model_version"]
    aliases = {
        (t["data"]["alias"], t["data"]["version"]) for t in told if t["entity"] == "model_version_alias"
    }
    assert sorted(versions) == ["1", "2"]
    assert aliases == {("champion", "1"), ("previous", "1"), ("champion", "2")}
    assert {t["action"] for t in told} == {"created"}
    check: dict = {}
    exec(compile(documented("def genuine"), "retuning.md", "exec"), check)
    for headers, body in found:
        assert check["genuine"](headers, body, made["SECRET"])
        assert not check["genuine"](headers, body, "another secret")
        assert not check["genuine"](headers, body + b" ", made["SECRET"])
        content = b".".join(
            [headers["X-MLflow-Delivery-Id"].encode(), headers["X-MLflow-Timestamp"].encode(), body]
        )
        wanted = base64.b64encode(hmac.digest(made["SECRET"].encode(), content, hashlib.sha256)).decode()
        assert headers["X-MLflow-Signature"] == f"v1,{wanted}"
