#!/usr/bin/env python3
"""The pages under /debug/pprof/: which exist, which listener serves them, and that a profile delays neither requests nor a stop."""
import pathlib
import subprocess
import urllib.request

import support
from support import request


class Pages(support.TestCase):
    def setUp(self):
        super().setUp()
        self.metric_index = self.service()

    def url(self, name):
        return f"{self.metric_index.url}/debug/pprof/{name}"

    def test_what_there_is_and_what_there_is_not(self):
        status, headers, body = request(self.url(""))
        self.assertEqual((status, headers["Content-Type"]), (200, "text/html; charset=utf-8"))
        self.assertIn(b"profile", body)
        self.assertEqual(request(self.url("cmdline"))[2].split(b"\0")[1:3], [b"serve", b"--data"])
        for name in ("allocs", "trace", "nonsense"):
            self.assertEqual(request(self.url(name))[0], 404, name)

    def test_symbols_are_those_of_the_running_file_wherever_it_was_loaded(self):
        names = subprocess.run(["nm", support.BINARY], capture_output=True, text=True, check=False).stdout
        if not names:
            self.skipTest("nm is missing")
        offset = int(next(line for line in names.splitlines() if line.lower().endswith(" t main")).split()[0], 16)
        maps = pathlib.Path(f"/proc/{self.metric_index.pid}/maps").read_text().splitlines()
        begin = int(next(line for line in maps if line.endswith("/metric-index")).split("-")[0], 16)
        address = f"{begin + offset:#x}"
        answer = f"num_symbols: 1\n{address} main\n".encode()
        self.assertEqual(request(self.url(f"symbol?{address}"))[2], answer)
        self.assertEqual(request(self.url("symbol"), data=address.encode())[2], answer)

    def test_a_profile_holds_up_nobody(self):
        with urllib.request.urlopen(self.url("heap"), timeout=30) as heap:
            self.assertIn(b"heap_v2/524288", heap.read())
        held = support.HeldProfile(self.metric_index.url, "heap?seconds=300")
        self.assertEqual(request(f"{self.metric_index.url}/ready")[0], 200)
        self.assertEqual(request(self.url("threads"))[0], 200)
        self.assertEqual(request(self.url("profile?seconds=1"))[0], 409)
        self.metric_index.stop()
        held.answer()

    def test_a_stop_ends_a_profile_and_hands_it_over(self):
        held = support.HeldProfile(self.metric_index.url, "profile?seconds=300")
        self.assertEqual(self.metric_index.stop(), 0)
        status, _, profile = held.answer()
        self.assertEqual(status, 200)
        self.assertIn(b" r-xp ", profile)  # the memory map


class Places(support.TestCase):
    def test_the_program_starts_over_once_and_keeps_what_the_environment_says(self):
        service = self.service(env={"TCMALLOC_SAMPLE_PARAMETER": "1048576"})
        environment = pathlib.Path(f"/proc/{service.pid}/environ").read_bytes().split(b"\0")
        self.assertIn(b"TCMALLOC_SAMPLE_PARAMETER=1048576", environment)
        self.assertIn(b"TCMALLOC_STACKTRACE_METHOD=libgcc", environment)
        self.assertEqual(pathlib.Path(f"/proc/{service.pid}/comm").read_text(), "metric-index\n")
        self.assertIn(b"heap_v2/1048576", request(f"{service.url}/debug/pprof/heap")[2])

    def test_a_listener_of_its_own_has_nothing_else(self):
        port = support.free_port()
        service = self.service(env={"METRIC_INDEX_PPROF_LISTEN": f"127.0.0.1:{port}"})
        self.assertEqual(request(f"{service.url}/debug/pprof/")[0], 404)
        self.assertEqual(request(f"http://127.0.0.1:{port}/debug/pprof/")[0], 200)
        self.assertEqual(request(f"http://127.0.0.1:{port}/metrics")[0], 404)

    def test_they_can_be_switched_off(self):
        service = self.service(env={"METRIC_INDEX_PPROF_ENABLED": "false"})
        self.assertEqual(request(f"{service.url}/debug/pprof/")[0], 404)


if __name__ == "__main__":
    support.main()
