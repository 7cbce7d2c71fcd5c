#!/usr/bin/env python3
"""Profiles of the running binary, read with `go tool pprof` from the URL alone, as users do."""
import os
import shutil
import subprocess
import sys
import unittest

import support
from support import request, wait_for


def find_pprof():
    """The command line of pprof, or nothing. Debian's Go comes first: ./dev test installs it, and it needs no network."""
    for go in ("/usr/bin/go", shutil.which("go")):
        if go and subprocess.run([go, "tool", "-n", "pprof"], capture_output=True, check=False).returncode == 0:
            return [go, "tool", "pprof"]
    print("*** go tool pprof IS MISSING: install golang-go ***", file=sys.stderr)
    return None


PPROF = find_pprof()


@unittest.skipIf(PPROF is None, "go tool pprof is missing")
class Pprof(support.TestCase):
    def setUp(self):
        super().setUp()
        self.metric_index = self.service()

    def url(self, name):
        return f"{self.metric_index.url}/debug/pprof/{name}"

    def load(self):
        """Keeps the service busy until the test ends."""
        return self.start(support.Process("loadgen", [
            support.LOADGEN, "--url", f"{self.metric_index.url}/api/v1/write", "--series", 20000, "--connections", 1,
            "--duration", "10m"], self.directory / "loadgen.log"))

    def pprof(self, *arguments):
        done = subprocess.run([*PPROF, *arguments], capture_output=True, text=True, timeout=120, check=False,
                              env={**os.environ, "HOME": str(self.directory), "PPROF_TMPDIR": str(self.directory / "pprof")})
        return done.returncode, done.stdout + done.stderr

    def test_a_cpu_profile_has_the_names_of_what_runs(self):
        self.load()
        for arguments in ((self.url("profile") + "?seconds=2",), ("--seconds", "2", self.metric_index.url)):
            with self.subTest(arguments):
                code, text = self.pprof("-top", "-cum", "-nodecount=60", *arguments)
                self.assertEqual(code, 0, text)
                self.assertIn("Type: cpu", text)
                self.assertRegex(text, r"mi::(net|receive|codec|dedupe)::")

    def test_a_heap_profile_has_the_names_of_what_holds_memory(self):
        load = self.load()
        wait_for(lambda: self.metric_index.metric("index_series_total") >= 20000, what="the series")
        load.stop()
        for name in ("heap", "heap?seconds=1", "growth"):
            with self.subTest(name):
                code, text = self.pprof("-top", "-cum", "-nodecount=60", self.url(name))
                self.assertEqual(code, 0, text)
                self.assertIn("Type: space", text)
                self.assertRegex(text, r"mi::\w+::")

    def test_threads_show_where_they_wait(self):
        for name, kind in (("threads", "thread"), ("goroutine", "goroutine")):
            with self.subTest(name):
                code, text = self.pprof("-traces", self.url(name))
                self.assertEqual(code, 0, text)
                self.assertIn(f"Type: {kind}", text)
                for function in ("epoll_wait", "mi::net::Loop::Run", "main"):
                    self.assertIn(function, text)

    def test_profiles_that_tools_fetch_along_are_valid_and_empty(self):
        for name, kind in (("block", "contentions"), ("mutex", "contentions"), ("threadcreate", "threadcreate")):
            with self.subTest(name):
                code, text = self.pprof("-raw", self.url(name))
                self.assertEqual(code, 0, text)
                self.assertIn(f"{kind}/count", text)

    def test_a_profile_says_little_about_the_machine(self):
        for name in ("heap", "threads", "profile?seconds=1"):
            with self.subTest(name):
                _, _, body = request(self.url(name))
                self.assertIn(b" r-xp ", body)
                self.assertIn(b" /debug/pprof/metric-index\n", body)
                for detail in (b"[heap]", b"[stack]", b" rw-p ", str(support.BUILD).encode()):
                    self.assertNotIn(detail, body)

    def test_the_reason_of_a_refusal_reaches_the_person(self):
        held = support.HeldProfile(self.metric_index.url, "heap?seconds=300")
        code, text = self.pprof("-top", self.url("profile"))
        self.assertNotEqual(code, 0)
        self.assertIn("another profile is being taken", text)
        self.metric_index.stop()
        self.assertEqual(held.answer()[0], 200)

    @unittest.skipIf(shutil.which("dot") is None, "graphviz is missing")
    def test_the_page_with_graphs_works(self):
        port = support.free_port()
        page = self.start(support.Process("pprof", [*PPROF, "-no_browser", f"-http=127.0.0.1:{port}", self.url("threads")],
                                          self.directory / "pprof.log",
                                          env={"HOME": str(self.directory), "PPROF_TMPDIR": str(self.directory / "pprof")}))
        graph = wait_for(lambda: page.alive() and request(f"http://127.0.0.1:{port}/ui/")[2].decode(), what="pprof's page")
        self.assertTrue("<svg" in graph and "mi::net::Loop::Run" in graph, "no graph with our names")


if __name__ == "__main__":
    support.main()
