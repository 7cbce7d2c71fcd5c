#!/usr/bin/env python3
"""The disk is full, under the journal, the catalogue and the log at once: senders get 503, nothing is lost, and the service recovers by itself."""
import os
import subprocess
import sys
import unittest

import support
from support import wait_for

MOUNT = 'mount -t tmpfs -o size=96m tmpfs "$0" && mkdir "$0/data" && exec "$@"'


def can_mount():
    probe = subprocess.run(["unshare", "--mount", "sh", "-c", "mount -t tmpfs tmpfs /mnt"], capture_output=True, check=False)
    return os.geteuid() == 0 and probe.returncode == 0


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
        with open(f"{inside}/filler", "wb") as filler:
            try:
                while True:
                    filler.write(b"\0" * 65536)
                    filler.flush()
            except OSError:
                pass
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
