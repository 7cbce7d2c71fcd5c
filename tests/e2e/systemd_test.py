#!/usr/bin/env python3
"""What systemd is told over the socket that it gives to a service of Type=notify, and the rights of the files."""
import socket
import stat

import support
import wire
from support import wait_for, write


class FakeSystemd:
    """The datagram socket of NOTIFY_SOCKET."""

    def __init__(self, path):
        self.path, self.heard = str(path), []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.setblocking(False)

    def lines(self):
        while True:
            try:
                self.heard += self.socket.recv(65536).decode().splitlines()
            except BlockingIOError:
                return self.heard

    def wait_for(self, line):
        wait_for(lambda: line in self.lines(), what=line)


class Systemd(support.TestCase):
    def setUp(self):
        super().setUp()
        self.systemd = FakeSystemd(self.directory / "notify")
        self.addCleanup(self.systemd.socket.close)

    def start_service(self, watchdog=True):
        env = {"NOTIFY_SOCKET": self.systemd.path}
        if watchdog:
            env["WATCHDOG_USEC"] = "300000"
        return self.service(env=env)

    def test_it_is_told_of_readiness_life_and_stop(self):
        service = self.start_service()
        self.systemd.wait_for("READY=1")
        self.systemd.wait_for("WATCHDOG=1")
        self.systemd.wait_for("STATUS=ready")
        self.assertEqual(service.stop(), 0)
        self.systemd.wait_for("STOPPING=1")
        self.assertEqual(self.systemd.heard[-1], "STOPPING=1")

    def test_the_watchdog_is_served_only_if_the_unit_asks_for_it(self):
        service = self.start_service(watchdog=False)
        self.systemd.wait_for("STATUS=ready")
        self.assertEqual(service.stop(), 0)
        self.assertNotIn("WATCHDOG=1", self.systemd.lines())


class Rights(support.TestCase):
    def test_data_is_for_the_owner_alone_and_the_log_for_its_group_whatever_the_umask_is(self):
        log = self.directory / "logs" / "metric-index.log"
        service = self.service(env={"METRIC_INDEX_LOG_FILENAME": str(log)}, prefix=("sh", "-c", 'umask 022; exec "$0" "$@"'))
        self.assertEqual(write(service.url, wire.snappy(wire.series_v1(__name__="rights")))[0], 204)
        service.wait_until_indexed()
        mode = lambda path: stat.S_IMODE(path.stat().st_mode)
        data = service.directory / "data"

        def check():
            self.assertEqual(oct(mode(data)), "0o700")
            files = {path.name: oct(mode(path)) for path in data.iterdir()}
            self.assertEqual(set(files.values()), {"0o600"}, files)
            return files

        self.assertIn("journal.db-wal", check())
        self.assertEqual((oct(mode(log.parent)), oct(mode(log))), ("0o750", "0o640"))
        self.assertEqual(service.stop(), 0)
        self.assertIn("seen.snapshot", check())


if __name__ == "__main__":
    support.main()
