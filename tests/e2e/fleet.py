"""A fleet for tests: real Redis, Kafka and MariaDB, shared by a test file, and roles over them with names of their own a test.

What is started ends with the process that started it, however that ends: the launchers in scripts/services watch it.
"""
import atexit
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

import support
from support import request, wait_for

LAUNCHERS = support.ROOT / "scripts" / "services"
NOT_INSTALLED = 77


class Real:
    """A real service on a free port of loopback."""

    def __init__(self, name):
        self.name = name
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"mi-{name}-"))
        os.chmod(self.directory, 0o755)  # MariaDB runs as another user
        atexit.register(self.remove)  # also after a Ctrl-C during the start
        self.start()

    def _launch(self, command, *arguments):
        launcher = subprocess.Popen([LAUNCHERS / self.name, command, self.directory, *arguments], text=True,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        try:
            output, errors = launcher.communicate()
        except BaseException:  # a Ctrl-C: end the half-started service as well
            os.killpg(launcher.pid, signal.SIGKILL)
            launcher.wait()
            raise
        return subprocess.CompletedProcess(launcher.args, launcher.returncode, output, errors)

    def start(self):
        done = self._launch("start", "--until", str(os.getpid()))
        if done.returncode == NOT_INSTALLED:
            print(f"*** {done.stderr.strip()} ***", file=sys.stderr)
            raise unittest.SkipTest(f"{self.name} is not installed")
        assert done.returncode == 0, done.stderr

    @property
    def port(self):
        return int((self.directory / "port").read_text())

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self):
        return int((self.directory / "pid").read_text())

    def stop(self):
        self._launch("stop")

    def kill(self):
        self._launch("kill")

    def freeze(self):
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self.pid, signal.SIGCONT)

    def mend(self):
        """Makes sure that the service runs again after a test that failed."""
        try:
            self.thaw()
        except (OSError, ValueError):
            self.start()

    def remove(self):
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


class Redis(Real):
    def __init__(self):
        super().__init__("redis")

    def command(self, *words):
        return subprocess.run(["redis-cli", "-p", str(self.port), *words], text=True, capture_output=True, check=True).stdout


class MariaDb(Real):
    def __init__(self):
        super().__init__("mariadb")

    def sql(self, statement, database=""):
        """The rows of the result, each as a list of strings."""
        done = subprocess.run(["mariadb", f"--socket={self.directory}/socket", "--user=root", "--batch", "--skip-column-names",
                               *([database] if database else [])], input=statement, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return [line.split("\t") for line in done.stdout.splitlines()]


    def cut(self, connection):
        """Ends a connection if it still exists."""
        subprocess.run(["mariadb", f"--socket={self.directory}/socket", "--user=root", "-e", f"KILL CONNECTION {connection}"],
                       capture_output=True, check=False)

    def back_up(self, folder):
        """Copies the files of the stopped server, which then starts again."""
        self.stop()
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run(["cp", "-a", self.directory / "data", folder], check=True)
        self.start()

    def restore(self, folder):
        """The server is killed and starts with the files of the backup."""
        self.kill()
        shutil.rmtree(self.directory / "data")
        subprocess.run(["cp", "-a", folder, self.directory / "data"], check=True)
        self.start()


class Kafka(Real):
    def __init__(self):
        super().__init__("kafka")

    def produce(self, topic, records, separator="\t"):
        """Each record is a pair of key and value."""
        subprocess.run(["kcat", "-P", "-b", self.address, "-t", topic, f"-K{separator}"],
                       input="\n".join(f"{key}{separator}{value}" for key, value in records), text=True, check=True)

    def records(self, topic):
        """All records of a topic, as kcat's JSON shows them."""
        done = subprocess.run(["kcat", "-C", "-b", self.address, "-t", topic, "-e", "-q", "-J"], text=True, capture_output=True,
                              check=False)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def count(self, topic):
        """The number of records in a topic."""
        done = subprocess.run(["kcat", "-C", "-b", self.address, "-t", topic, "-e", "-q", "-f", "%o\n"], text=True,
                              capture_output=True, check=False)
        return len(done.stdout.splitlines())


class Role(support.MetricIndex):
    """A role of the fleet; its configuration is given by the test."""

    def __init__(self, directory, config, *arguments, wait=True, **options):
        super().__init__(directory, "--config", config, *arguments, wait=wait, **options)


class Names:
    """One fleet on the shared services: its own topic, group, database and Redis keys, and its configuration files."""

    def name_fleet(self, number, directory, redis, kafka, mariadb):
        self.number, self.directory = number, directory
        self.redis, self.kafka, self.mariadb = redis, kafka, mariadb
        self.database = f"catalogue-{number}"
        self.topic = f"metric-index-{number}"
        self.group = f"group-{number}"
        self._roles = 0

    def config(self, role, **sections):
        """Writes a configuration file. The given sections replace or extend the fleet's own."""
        self._roles += 1
        keys = {
            "app": {"role_type": role, "shutdown_timeout": "20s"},
            "redis": {"host": "127.0.0.1", "port": self.redis.port, "db": self.number % 16},
            "mysql": {"host": "127.0.0.1", "port": self.mariadb.port, "user": "root", "password": "", "db_name": self.database},
            "metric_store": {
                "cache": {"flush_interval": 1},
                "producer": {"hosts": [self.kafka.address], "topic": self.topic},
                "consumer": {"hosts": [self.kafka.address], "topics": [self.topic], "group_id": self.group, "work_num": 2,
                             "offset_type": "oldest"},
            },
        }
        for name, section in sections.items():
            keys[name] = {**keys.get(name, {}), **section}
        file = self.directory / f"{role}-{self._roles}.yml"
        file.write_text(json.dumps(keys))  # JSON is YAML
        return file

    def role(self, role, name=None, wait=True, config=None, port=0, **sections):
        config = config or self.config(role, **sections)
        process = self.start(Role(self.directory / (name or f"{role}-{self._roles}"), config, wait=False, port=port))
        if wait:
            process.wait_until_ready()
        return process

    def rows(self):
        """(rows, distinct fingerprints, distinct identities) of the database."""
        answer = self.mariadb.sql("SELECT count(*), count(DISTINCT fingerprint), count(DISTINCT metric) FROM metric", self.database)
        return tuple(int(n) for n in answer[0])


class FleetCase(support.TestCase, Names):
    """The services are started once per test file."""

    _tests = 0

    @classmethod
    def setUpClass(cls):
        cls.services = (Redis(), Kafka(), MariaDb())

    @classmethod
    def tearDownClass(cls):
        for service in cls.services:
            service.remove()

    def setUp(self):
        super().setUp()
        FleetCase._tests += 1
        for service in self.services:
            service.mend()
        self.name_fleet(FleetCase._tests, self.directory, *self.services)

    def send(self, producer, *arguments, seed=1, series=2_000, duration="1s"):
        """Sends with the load generator. Returns the file that lists the acknowledged series."""
        file = self.directory / f"acknowledged-{seed}-{producer.port}"
        sent = support.loadgen("--url", f"{producer.url}/api/v1/write", "--series", series, "--duration", duration, "--seed", seed,
                               "--acknowledged", file, *arguments)
        self.assertEqual(sent.returncode, 0, sent.stderr)
        return file

    def verify(self, query, *files):
        """Checks that every acknowledged series is in the catalogue."""
        for file in files:
            done = support.loadgen("verify", "--url", query.url, "--acknowledged", file)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def assert_no_row_twice(self):
        total, fingerprints, identities = self.rows()
        self.assertEqual((total, total), (fingerprints, identities))
        return total

    @staticmethod
    def readiness(role):
        status, _, body = request(f"{role.url}/ready")
        return status, body.decode()

    def wait_for_secret(self, *producers):
        """Until then they recognise series without the catalogue's secret, and publish them again once they have it."""
        wait_for(lambda: not any("identity" in self.readiness(producer)[1] for producer in producers), what="the secret of fingerprints")

    def wait_for_readiness(self, role, text, timeout=60):
        wait_for(lambda: text in self.readiness(role)[1], timeout, f"{text!r} in /ready, which says {self.readiness(role)}")
