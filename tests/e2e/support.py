"""The base of every end-to-end test: the real binary and real senders, each with its own directory and ports.

A process started here is ended when its test ends, also when the test dies: each is told by the kernel when its parent is gone.
Nothing sleeps to wait for something; `wait_for` asks until the thing is there.
"""
import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MI_BUILD", ROOT / "build" / "dev"))
BINARY = BUILD / "bin" / "metric-index"
LOADGEN = BUILD / "bin" / "metric-index-loadgen"
PARTS = ROOT / "build" / "parts" / "root"

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Gone(Exception):
    """The process has ended, so the condition that a test waits for can never become true."""


def wait_for(condition, timeout=60, what=None):
    """Polls `condition` and returns its first true value. An exception counts as false."""
    deadline = time.monotonic() + timeout
    last = None
    while time.monotonic() < deadline:
        try:
            answer = condition()
            if answer:
                return answer
            last = answer
        except Gone:
            raise
        except Exception as error:  # pylint: disable=broad-except
            last = error
        time.sleep(0.05)
    raise AssertionError(f"waited {timeout} s for {what or condition}; the last answer was {last!r}")


def free_port():
    """A port that is free now, for programs that cannot choose one themselves."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def request(url, data=None, headers=None, method=None, timeout=30):
    """Returns (status, headers, body). An error status does not raise an exception."""
    ask = urllib.request.Request(url, data=data, headers=headers or {}, method=method)
    try:
        with urllib.request.urlopen(ask, timeout=timeout) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def write(url, body, headers=None, path="/api/v1/write"):
    """Sends a remote-write request (snappy and 1.0 unless the headers say otherwise). Returns (status, headers, body)."""
    return request(url + path, data=body, headers={"Content-Type": "application/x-protobuf", **(headers or {})}, method="POST")


def get_json(url, headers=None, **parameters):
    """The decoded JSON answer of a GET. A list becomes a repeated parameter."""
    query = urllib.parse.urlencode(parameters, doseq=True)
    status, _, body = request(f"{url}?{query}" if query else url, headers=headers)
    if status != 200:
        raise AssertionError(f"GET {url}: {status}: {body[:500]!r}")
    return json.loads(body)


class Process:
    """A child process whose output goes to a file. It has its own session, so a Ctrl-C reaches it only through the test."""

    def __init__(self, name, arguments, log, env=None, cwd=None):
        self.name, self.log = name, pathlib.Path(log)
        with open(self.log, "ab") as output:
            self.popen = subprocess.Popen(
                [str(a) for a in arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
                env={**os.environ, **(env or {})}, cwd=cwd, preexec_fn=_die_with_parent)

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def kill(self):
        """Sends SIGKILL and waits."""
        self.popen.kill()
        return self.popen.wait()

    def stop(self, timeout=30):
        """Sends SIGTERM and waits. Returns the exit code."""
        if self.alive():
            self.popen.terminate()
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end within {timeout} s of SIGTERM; see {self.log}") from None

    def output(self):
        return self.log.read_text(errors="replace")

    def cpu_seconds(self):
        """The processor time that all threads have used so far, in the kernel too."""
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident(self):
        """The resident memory in bytes."""
        return self._memory("VmRSS:")

    def peak(self):
        """The most resident memory in bytes that the process has had."""
        return self._memory("VmHWM:")

    def _memory(self, row):
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(row):
                return int(line.split()[1]) * 1024
        raise Gone("the process has no memory any more")


class MetricIndex(Process):
    """The service on a free port. Several processes may use the same directory one after another.

    `scheme`: https if the arguments make it speak TLS. `headers`: the login of somebody who may read everything."""

    def __init__(self, directory, *arguments, env=None, wait=True, port=0, data=None, prefix=(), scheme="http", headers=None):
        self.scheme, self.headers = scheme, headers
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        log = self.directory / "metric-index.log"
        self._log_begins = log.stat().st_size if log.exists() else 0
        self.port = port
        super().__init__("metric-index", [*prefix, BINARY, "serve", "--data", data or self.directory / "data", "--listen",
                                          f"127.0.0.1:{port}", *arguments], log, env=env)
        if wait:
            self.wait_until_ready()

    def output(self):
        """The output of this process, without that of earlier processes in the same directory."""
        return super().output()[self._log_begins:]

    @property
    def url(self):
        if not self.port:
            self.port = wait_for(self._find_port, what="the port in the log")
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def connect(self, timeout=30, source=None):
        """A bare connection, for requests that no client library would send. `source`: the client's address."""
        return socket.create_connection(("127.0.0.1", int(self.url.rsplit(":", 1)[1])), timeout=timeout,
                                        source_address=source and (source, 0))

    def _find_port(self):
        if not self.alive():
            raise Gone(f"metric-index ended with {self.popen.returncode}:\n{self.output()[-2000:]}")
        found = re.search(r"listening on https?://[^ ]*:(\d+)", self.output())
        return found and int(found.group(1))

    def wait_until_ready(self, timeout=60):
        wait_for(lambda: request(f"{self.url}/ready")[0] == 200, timeout, "/ready")

    def metric(self, name, /, **labels):
        """The sum over all series of a metric (without its prefix) that have these labels."""
        _, _, text = request(f"{self.url}/metrics", headers=self.headers)
        total = 0.0
        for line in text.decode().splitlines():
            match = re.match(r"metric_index_" + re.escape(name) + r"(\{[^}]*\})? (\S+)", line)
            if match and all(f'{k}="{v}"' in (match.group(1) or "") for k, v in labels.items()):
                total += float(match.group(2))
        return total

    def wait_until_indexed(self, timeout=60):
        wait_for(lambda: self.metric("index_lag_records") == 0, timeout, "the index to catch up")

    def series(self, *match, **parameters):
        """The matching label sets, as a set of sorted tuples of (name, value) pairs."""
        data = get_json(f"{self.url}/api/v1/series", headers=self.headers, **{"match[]": list(match), **parameters})["data"]
        return {tuple(sorted(labels.items())) for labels in data}


class HeldProfile:
    """Takes a profile until the service is stopped."""

    def __init__(self, url, name):
        self._answers = []
        self._thread = threading.Thread(target=self._ask, args=(f"{url}/debug/pprof/{name}",), daemon=True)
        self._thread.start()
        wait_for(lambda: request(f"{url}/debug/pprof/heap?seconds=1")[0] == 409, what="the profile to be taken")

    def _ask(self, url):
        while True:  # the request above may have arrived first
            answer = request(url, timeout=300)
            if answer[0] != 409:
                self._answers.append(answer)
                return

    def answer(self):
        self._thread.join(60)
        return self._answers[0]


def loadgen(*arguments, timeout=120):
    """Runs the load generator until it ends."""
    return subprocess.run([str(LOADGEN), *map(str, arguments)], capture_output=True, text=True, timeout=timeout,
                          preexec_fn=_die_with_parent, check=False)


def golden(folder, number):
    """Returns (headers and path, body, identities) of a request that a real sender made."""
    base = ROOT / "tests" / "golden" / folder / number
    return (json.loads(base.with_suffix(".json").read_text()), base.with_suffix(".body").read_bytes(),
            base.with_suffix(".series").read_text().splitlines())


class TestCase(unittest.TestCase):
    """Has its own directory. Processes that are started with `start` end with the test."""

    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"mi-{self.id().split('.')[-1][:40]}-"))
        self._started = []

    def tearDown(self):
        failed = self._outcome is not None and any(error for _, error in getattr(self._outcome, "errors", []))
        for process in reversed(self._started):
            if process.alive():
                process.kill()
        if failed:
            for process in self._started:
                print(f"--- the end of {process.log}\n{process.output()[-3000:]}", file=sys.stderr)
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self, process):
        self._started.append(process)
        return process

    def service(self, *arguments, name="service", **options):
        return self.start(MetricIndex(self.directory / name, *arguments, **options))


def part(name):
    """A binary from a Debian package, unpacked by scripts/fetch-parts. If it is missing, the test is skipped with a loud message."""
    path = PARTS / "usr" / "bin" / name
    if not path.exists():
        print(f"*** {name} IS MISSING: run scripts/fetch-parts ***", file=sys.stderr)
        raise unittest.SkipTest(f"{name} is missing")
    return path


def main():
    """Like unittest.main, but if every test was skipped, the exit code is 77, which ctest shows as skipped."""
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if result.testsRun > 0 and len(result.skipped) == result.testsRun else 0)
