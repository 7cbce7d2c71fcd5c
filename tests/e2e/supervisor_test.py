#!/usr/bin/env python3
"""The program file for supervisor, under the real supervisor: start, crash, fatal condition, restart, stop; and that supervisor
gives up on a wrong configuration."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import unittest

import support
from support import request, wait_for

UNPACKED = support.PARTS / "usr" / "bin" / "supervisord"
SUPERVISORD = str(UNPACKED) if UNPACKED.exists() else shutil.which("supervisord")
PYTHON = "/usr/bin/python3"  # Debian's Python, for which supervisor is packaged
ENVIRONMENT = {"PYTHONPATH": str(support.PARTS / "usr" / "lib" / "python3" / "dist-packages")}
PROGRAM = support.ROOT / "packaging" / "supervisor" / "metric-index.conf"
if SUPERVISORD is None:
    print("*** supervisord IS MISSING: run scripts/fetch-parts ***", file=sys.stderr)


@unittest.skipIf(SUPERVISORD is None, "supervisord is missing")
class Supervisor(support.TestCase):
    def program(self, port, configuration=""):
        """The program file as shipped, except for paths and user."""
        (self.directory / "metric-index.yml").write_text(
            f"app: {{listen: '127.0.0.1:{port}', data_dir: {self.directory / 'data'}}}\n{configuration}")
        text = PROGRAM.read_text()
        for place, here in (("/usr/bin/metric-index", support.BINARY), ("/etc/metric-index", self.directory),
                            ("/var/lib/metric-index", self.directory), ("/var/log/metric-index", self.directory)):
            self.assertIn(place, text)
            text = text.replace(place, str(here))
        return re.sub(r"^user=.*\n", "", text, flags=re.M)

    def supervise(self, program):
        conf = self.directory / "supervisord.conf"
        conf.write_text(f"""[supervisord]
nodaemon=true
logfile=/dev/null
logfile_maxbytes=0
pidfile={self.directory}/supervisord.pid
[unix_http_server]
file={self.directory}/s.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{self.directory}/s.sock
""" + program)
        self.conf = conf
        return self.start(support.Process("supervisord", [PYTHON, SUPERVISORD, "-n", "-c", conf],
                                          self.directory / "supervisord.log", env=ENVIRONMENT))

    def ctl(self, *words):
        return subprocess.run([PYTHON, str(pathlib.Path(SUPERVISORD).with_name("supervisorctl")), "-c", str(self.conf), *words],
                              capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **ENVIRONMENT}).stdout

    def running(self, after=None):
        """The pid of the program, as soon as supervisor reports it as running (after startsecs)."""
        def pid():
            found = re.search(r"RUNNING\s+pid (\d+)", self.ctl("status"))
            return found and int(found.group(1)) != after and int(found.group(1))
        return wait_for(pid, what="the program to be RUNNING")

    def test_start_crash_restart_and_stop(self):
        port = support.free_port()
        supervisord = self.supervise(self.program(port))
        first = self.running()
        self.assertEqual(request(f"http://127.0.0.1:{port}/ready")[0], 200)
        os.kill(first, signal.SIGKILL)
        second = self.running(after=first)
        self.assertEqual(request(f"http://127.0.0.1:{port}/ready")[0], 200)
        shutil.rmtree(self.directory / "data")  # a fatal condition: exit code 1
        second = self.running(after=second)
        self.assertEqual(request(f"http://127.0.0.1:{port}/ready")[0], 200)
        self.assertIn("fatal, the process ends", (self.directory / "console.log").read_text())
        self.assertIn("stopped", self.ctl("stop", "metric-index"))
        self.assertIn("STOPPED", self.ctl("status"))
        self.assertFalse(pathlib.Path(f"/proc/{second}").exists())
        self.assertIn("info  stopped", (self.directory / "console.log").read_text())  # the process ended by itself, it was not killed
        self.assertIn("started", self.ctl("start", "metric-index"))
        third = self.running(after=second)
        self.assertEqual(supervisord.stop(), 0)
        self.assertFalse(pathlib.Path(f"/proc/{third}").exists())

    def test_a_wrong_configuration_is_not_tried_for_ever(self):
        self.supervise(self.program(support.free_port(), "log: {level: loud}\n"))
        console = self.directory / "console.log"
        wait_for(lambda: console.exists() and "log.level" in console.read_text(), what="the complaint")
        state = wait_for(lambda: re.search(r"FATAL|EXITED", self.ctl("status")), timeout=90, what="supervisor to give up")
        self.assertTrue(state)
        self.assertLessEqual(console.read_text().count("log.level"), 4)  # the first start and startretries more


if __name__ == "__main__":
    support.main()
