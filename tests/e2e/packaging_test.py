#!/usr/bin/env python3
"""The files that are shipped with the binary are valid and name things that exist."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import unittest

import support
from support import ROOT

try:
    import yaml  # Debian: python3-yaml
except ImportError:
    yaml = None

PACKAGING = ROOT / "packaging"


def metric_index(*arguments, env=None, cwd=None):
    clean = {k: v for k, v in os.environ.items() if k not in ("GO_ENV", "METRIC_INDEX_ENV")}
    return subprocess.run([str(support.BINARY), *map(str, arguments)], capture_output=True, text=True, timeout=30, check=False,
                          env={**clean, **(env or {})}, cwd=cwd)


class Configuration(unittest.TestCase):
    def test_each_shipped_file_loads(self):
        for file in (ROOT / "config" / "dev.yml", ROOT / "config" / "prod.yml", PACKAGING / "metric-index.yml"):
            with self.subTest(file.name):
                checked = metric_index("config", "check", file)
                self.assertEqual((checked.returncode, checked.stderr), (0, ""))

    def test_go_env_chooses_them(self):
        for env in ("dev", "prod"):
            with self.subTest(env):
                shown = metric_index("config", "show", env={"GO_ENV": env}, cwd=ROOT)
                self.assertEqual(shown.returncode, 0, shown.stderr)
                self.assertIn(f"config/{env}.yml", shown.stdout)
                self.assertRegex(shown.stdout, rf'mode: "?{env}"?')


@unittest.skipIf(yaml is None, "python3-yaml is missing")
class Compose(unittest.TestCase):
    """compose.yml, as far as it can be checked without the images of a registry."""

    FOLDER = PACKAGING / "docker"

    @classmethod
    def setUpClass(cls):
        cls.compose = yaml.safe_load((cls.FOLDER / "compose.yml").read_text())
        cls.services = cls.compose["services"]
        cls.ours = {name: service for name, service in cls.services.items() if service["image"] == "metric-index"}

    def test_our_services_are_the_roles_and_their_environment_is_valid(self):
        self.assertEqual(list(self.ours), ["producer", "consumer", "query"])
        for name, service in self.ours.items():
            with self.subTest(name):
                self.assertEqual(service["environment"]["METRIC_INDEX_APP_ROLE_TYPE"], name)
                shown = metric_index("config", "show", env=service["environment"])
                self.assertEqual(shown.returncode, 0, shown.stderr)

    def test_our_services_are_built_restarted_and_have_time_to_stop(self):
        for name, service in self.ours.items():
            with self.subTest(name):
                context = self.FOLDER / service["build"]["context"]
                self.assertTrue((context / service["build"]["dockerfile"]).is_file())
                self.assertIn(service["restart"], ("unless-stopped", "always", "on-failure"))  # exit code 1 asks for a restart
                self.assertGreater(int(service["stop_grace_period"].removesuffix("s")), 8 + 1)  # app.shutdown_timeout

    def test_the_image_runs_a_command_that_the_binary_understands(self):
        dockerfile = (self.FOLDER / "Dockerfile").read_text()
        entrypoint, command = (json.loads(re.search(rf"^{word} (.*)$", dockerfile, re.M).group(1)) for word in ("ENTRYPOINT", "CMD"))
        self.assertEqual(entrypoint, ["/usr/bin/metric-index"])
        shown = metric_index(*command, "--help")
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertEqual(re.search(r"^EXPOSE (\d+)$", dockerfile, re.M).group(1), "7001")  # the default of app.port
        self.assertEqual(re.search(r"^VOLUME (.*)$", dockerfile, re.M).group(1), command[command.index("--data") + 1])

    def test_services_name_only_each_other(self):
        kafka = self.services["kafka"]["environment"]
        for name, service in self.ours.items():
            for key, value in service["environment"].items():
                with self.subTest(f"{name}: {key}"):
                    if key.endswith("_HOST"):
                        self.assertIn(value, self.services)
                    if key.endswith("_HOSTS"):
                        self.assertIn(f"://{value}", kafka["KAFKA_ADVERTISED_LISTENERS"])
                    if key == "METRIC_INDEX_MYSQL_PASSWORD":
                        self.assertEqual(value, self.services["mariadb"]["environment"]["MARIADB_PASSWORD"])
        defaults = metric_index("config", "default").stdout
        for key in ("MARIADB_DATABASE", "MARIADB_USER"):
            self.assertIn(self.services["mariadb"]["environment"][key], defaults)
        balancer = (self.FOLDER / "haproxy.cfg").read_text()
        self.assertRegex(balancer, r"server-template producer \S+ producer:7001 check")
        self.assertIn("bind :7001", balancer)

    def test_volumes_exist_and_ports_are_published_once(self):
        published = []
        for name, service in self.services.items():
            for volume in service.get("volumes", []):
                source = volume.split(":")[0]
                with self.subTest(f"{name}: {volume}"):
                    self.assertTrue((self.FOLDER / source).is_file() if source.startswith(".") else source in self.compose["volumes"])
            published += [port.split(":")[0] for port in service.get("ports", [])]
        self.assertEqual(sorted(published), sorted(set(published)))


class Installed(unittest.TestCase):
    """The files that cmake --install and the package install, from the build under test."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(support.tempfile.mkdtemp(prefix="mi-install-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        for component in ("Unspecified", "package"):
            done = subprocess.run(["cmake", "--install", support.BUILD, "--prefix", "/usr", "--component", component],
                                  env={**os.environ, "DESTDIR": str(cls.folder)}, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
        cls.documents = cls.folder / "usr" / "share" / "doc" / "metric-index"

    def test_the_binaries_run_and_the_files_are_in_their_places(self):
        for name in ("metric-index", "metric-index-loadgen"):
            self.assertEqual(subprocess.run([self.folder / "usr" / "bin" / name, "--help"], capture_output=True, check=False).returncode, 0)
        for file in ("etc/metric-index/metric-index.yml", "etc/default/metric-index", "lib/systemd/system/metric-index.service",
                     "etc/security/limits.d/90-metric-index.conf"):
            self.assertTrue((self.folder / file).is_file(), file)
        for file in ("README.md", "LICENSE", "docs/operations.md", "docs/formats/sql.md", "examples/alerts.yml"):
            self.assertTrue((self.documents / file).is_file(), file)

    def test_no_document_has_a_dead_link(self):
        links = 0
        for document in self.documents.rglob("*.md"):
            for link in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
                if not link.startswith("http"):
                    links += 1
                    self.assertTrue((document.parent / link).exists(), f"{document.relative_to(self.documents)}: {link}")
        self.assertGreater(links, 20)


class Alerts(unittest.TestCase):
    FILE = PACKAGING / "prometheus" / "alerts.yml"

    def test_promtool_accepts_them(self):
        checked = subprocess.run([support.part("promtool"), "check", "rules", self.FILE], capture_output=True, text=True, check=False)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_they_ask_for_metrics_that_exist_and_are_explained(self):
        source = [p.read_text() for p in (ROOT / "src").rglob("*.*") if p.suffix in (".cc", ".h") and "_test" not in p.name]
        known = {name for text in source for name in re.findall(r'"([a-z]+_[a-z_]+)"', text)}
        operations = (ROOT / "docs" / "operations.md").read_text()
        for name in sorted(set(re.findall(r"metric_index_([a-z_]+)", self.FILE.read_text()))):
            self.assertTrue(name.removesuffix("_bucket") in known, f"no metric is called {name}")
        for alert in re.findall(r"- alert: (\w+)", self.FILE.read_text()):
            self.assertIn(f"`{alert}`", operations)


class Unit(unittest.TestCase):
    def test_systemd_understands_every_line(self):
        analyze = shutil.which("systemd-analyze")
        if analyze is None:
            self.skipTest("systemd-analyze is missing")
        text = (PACKAGING / "systemd" / "metric-index.service").read_text().replace("/usr/bin/metric-index", str(support.BINARY))
        folder = support.tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        file = os.path.join(folder, "metric-index.service")
        with open(file, "w", encoding="utf-8") as unit:
            unit.write(text)
        verified = subprocess.run([analyze, "verify", "--man=no", file], capture_output=True, text=True, check=False)
        self.assertNotIn("metric-index.service", verified.stderr)  # systemd-analyze also reports the machine's own units


if __name__ == "__main__":
    support.main()
