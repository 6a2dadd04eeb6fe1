"""The description of the interface: it is true, and nothing that follows from it breaks the server."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from avatar_runtime.serve.app import create_app
from serve.running import metric, port_of, running


def test_it_describes_what_is_served(tiny_model: Path) -> None:
    client = TestClient(create_app(tiny_model))
    description = client.get("/openapi.json").json()
    assert description["openapi"] == "3.1.0"
    for path, operations in description["paths"].items():
        address = path.format(model="tiny@1", name="alice", seed="team")
        for method, operation in operations.items():
            answer = client.request(method, address)
            assert answer.status_code == 200
            assert answer.headers["content-type"].split(";")[0] in operation["responses"]["200"]["content"]
    options = {item["name"] for item in description["paths"]["/v1/{model}/{name}"]["get"]["parameters"]}
    refusal = client.get("/v1/tiny@1/alice?sise=1").text
    assert options == {"model", "name", *re.findall(r"\w+", refusal.partition("there are ")[2])}


@pytest.mark.service
def test_schemathesis_finds_nothing(tiny_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("schemathesis")
    with running("--port", "0", "--model", str(tiny_model)) as server:
        port = port_of(server)
        address = f"http://127.0.0.1:{port}/openapi.json"
        command = [sys.executable, "-m", "schemathesis.cli", "run", address, "--max-examples", "30", "--seed", "1"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert "No issues found" in done.stdout, done.stdout
        for status in (200, 400, 404):
            assert metric(port, f'avatar_requests_total{{status="{status}"}}') > 20
