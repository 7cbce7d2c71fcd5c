#!/usr/bin/env python3
"""The files that are shipped with the binary are valid and name things that exist."""
import os
import pathlib
import re
import shutil
import subprocess
import unittest

import support
from support import ROOT

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

    def test_the_environment_of_each_container_is_understood(self):
        text = (PACKAGING / "docker" / "compose.yml").read_text()
        sections = re.split(r"^  (\w+):$", text, flags=re.M)
        roles = []
        for name, body in zip(sections[1::2], sections[2::2]):
            env = dict(re.findall(r'^\s+(METRIC_INDEX_\w+): "?([^"\n]+)"?$', body, flags=re.M))
            if env:
                shown = metric_index("config", "show", env=env)
                self.assertEqual(shown.returncode, 0, f"{name}: {shown.stderr}")
                roles.append(env["METRIC_INDEX_APP_ROLE_TYPE"])
        self.assertEqual(roles, ["producer", "consumer", "query"])


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
