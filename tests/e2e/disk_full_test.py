#!/usr/bin/env python3
"""The disk is full, under the journal, the catalogue and the log at once: senders get 503, nothing is lost, and the service recovers by itself."""
import os
import subprocess
import sys
import unittest

import support
import wire
from support import wait_for

MOUNT = 'mount -t tmpfs -o size=96m tmpfs "$0" && mkdir "$0/data" && exec "$@"'


def can_mount():
    probe = subprocess.run(["unshare", "--mount", "sh", "-c", "mount -t tmpfs tmpfs /mnt"], capture_output=True, check=False)
    return os.geteuid() == 0 and probe.returncode == 0


def fill(path):
    """Takes all the room of the file system."""
    with open(path, "wb", buffering=0) as filler:
        for size in (65536, 4096, 1):
            try:
                while True:
                    filler.write(b"\0" * size)
            except OSError:
                pass


class DiskFull(support.TestCase):
    @unittest.skipUnless(can_mount(), "a file system of its own needs root")
    def test_a_full_disk_answers_503_and_heals_when_there_is_room(self):
        small = self.directory / "small"
        small.mkdir()
        service = self.start(support.MetricIndex(
            self.directory / "service", data=small / "data", prefix=("unshare", "--mount", "sh", "-c", MOUNT, small),
            env={"METRIC_INDEX_LOG_FILENAME": str(small / "metric-index.log")}))
        inside = f"/proc/{service.pid}/root{small}"

        kept = self.directory / "kept"
        self.send(service, seed=1, acknowledged=kept)
        service.wait_until_indexed()
        fill(f"{inside}/filler")
        full = self.send(service, seed=2, acknowledged=self.directory / "not-kept", expect_full=True)
        self.assertIn("503", full)
        self.assertTrue(service.alive())
        self.assertGreater(len(service.series('{__name__=~".+"}')), 0, "queries answer from the last state")

        os.unlink(f"{inside}/filler")
        healed = self.directory / "healed"
        wait_for(lambda: "503" not in self.send(service, seed=3, acknowledged=healed), timeout=60, what="the disk to heal")
        service.wait_until_indexed()
        for file in (kept, healed, self.directory / "not-kept"):
            verified = support.loadgen("verify", "--url", service.url, "--acknowledged", file)
            self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)
        self.assertEqual(service.stop(), 0)

    @unittest.skipUnless(can_mount(), "a file system of its own needs root")
    def test_a_start_on_a_full_disk_is_not_ready_before_the_first_write_and_heals(self):
        small = self.directory / "small"
        small.mkdir()
        # Holds the file system while the service stops and starts.
        holder = self.start(support.Process("holder", (
            "unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=32m tmpfs "$0" && mkdir "$0/data" && touch "$0/up" && exec sleep 600',
            small), self.directory / "holder.log"))
        inside = f"/proc/{holder.pid}/root{small}"
        wait_for(lambda: os.path.exists(f"{inside}/up"), what="the file system")

        def start(name, wait):
            return self.start(support.MetricIndex(self.directory / name, data=small / "data", wait=wait,
                                                  prefix=("nsenter", f"--mount=/proc/{holder.pid}/ns/mnt")))

        first = start("first", wait=True)
        self.send(first, seed=1, acknowledged=self.directory / "kept")
        self.assertEqual(first.stop(), 0)
        not_ready = 0
        # SQLite needs 64 KiB to open both files. With less the start fails, with more the first write may succeed.
        for kib in (0, 64, 68):
            with open(f"{inside}/reserve", "wb") as reserve:
                reserve.write(b"\0" * kib * 1024)
            fill(f"{inside}/filler")
            os.unlink(f"{inside}/reserve")
            service = start(f"with-{kib}-kib", wait=False)
            wait_for(lambda: not service.alive() or "listening on http" in service.output(), what="the start or the end")
            if not service.alive():
                self.assertEqual(service.popen.returncode, 1)
                self.assertIn(str(small / "data"), service.output())
                os.unlink(f"{inside}/filler")
                continue
            service.url  # finds the port
            status, _, body = support.request(f"{service.url}/ready")
            if b"catalog: waiting" in body:
                wait_for(lambda: b"catalog: waiting" not in support.request(f"{service.url}/ready")[2], what="the catalogue")
                status, _, body = support.request(f"{service.url}/ready")
            if status == 200:
                self.assertEqual(support.write(service.url, wire.snappy(wire.series_v1(__name__=f"with_{kib}")))[0], 204)
            else:
                self.assertIn(b"journal: waiting for", body)
                not_ready += 1
            os.unlink(f"{inside}/filler")
            service.wait_until_ready()
            self.assertEqual(support.write(service.url, wire.snappy(wire.series_v1(__name__=f"healed_{kib}")))[0], 204)
            self.assertEqual(service.stop(), 0)
        self.assertGreater(not_ready, 0)
        last = start("last", wait=True)
        verified = support.loadgen("verify", "--url", last.url, "--acknowledged", self.directory / "kept")
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)
        self.assertEqual(last.stop(), 0)

    def send(self, service, seed, acknowledged, expect_full=False):
        sent = support.loadgen("--url", f"{service.url}/api/v1/write", "--series", 20_000, "--duration", "2s", "--json",
                               "--seed", seed, "--acknowledged", acknowledged)
        if not expect_full:
            self.assertEqual(sent.returncode, 0, sent.stderr)
        return sent.stdout


if __name__ == "__main__":
    if not can_mount():
        print("*** THE DISK-FULL TEST NEEDS ROOT AND IS SKIPPED ***", file=sys.stderr)
    support.main()
