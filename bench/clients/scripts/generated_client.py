"""A client that openapi-python-client generates from /openapi.json."""

import importlib
import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.request

from features import URL, expect, feature

folder = pathlib.Path(os.environ["CLIENT_FOLDER"])


@feature("it generates")
def generates() -> str:
    (folder / "openapi.json").write_bytes(urllib.request.urlopen(f"{URL}/openapi.json", timeout=60).read())
    tool = pathlib.Path(sys.executable).with_name("openapi-python-client")
    words = [
        str(tool),
        "generate",
        "--path",
        str(folder / "openapi.json"),
        "--overwrite",
        "--output-path",
        str(folder / "made"),
        "--meta",
        "none",
    ]
    environ = {**os.environ, "PATH": f"{tool.parent}:{os.environ['PATH']}"}
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, env=environ)
    expect(done.returncode == 0, f"status 0: {done.stdout[-800:]}{done.stderr[-800:]}")
    warnings = [line for line in (done.stdout + done.stderr).splitlines() if "WARNING" in line.upper()]
    paths = json.loads((folder / "openapi.json").read_text())["paths"]
    operations = sum(
        len([m for m in path if m in ("get", "post", "delete", "put", "patch")]) for path in paths.values()
    )
    made = len(list((folder / "made" / "api").rglob("*.py")))
    return f"{operations} operations, {len(warnings)} warnings, {made} files"


@feature("submit and read a job")
def draws() -> str:
    sys.path.insert(0, str(folder))
    client = importlib.import_module("made").Client(base_url=URL)
    answer = client.get_httpx_client().post("/v1/jobs", json={"prompt": "a red apple"})
    expect(answer.status_code == 202, f"202, got {answer.status_code}")
    (read,) = (folder / "made" / "api").rglob("get_v1_jobs_job_id.py")
    module = importlib.import_module(f"made.api.{read.parent.name}.{read.stem}")
    for _ in range(300):
        job = module.sync(client=client, job_id=answer.json()["id"])
        if job.progress >= 1:
            return f"job is {job.state}"
        time.sleep(0.2)
    raise AssertionError("not done within a minute")
