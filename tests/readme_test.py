#!/usr/bin/env python3
"""README.md and README.zh-CN.md say the same: the same commands, code, links and tables of the same size."""
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent


def code_lines(text):
    """The lines of all code blocks, without comments, which are translated."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
    indented = re.findall(r"^    .*$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    return [re.sub(r"\s+# .*", "", line) for line in [*"".join(fenced).splitlines(), *indented]]


class Readme(unittest.TestCase):
    english = (ROOT / "README.md").read_text()
    chinese = (ROOT / "README.zh-CN.md").read_text()

    def assert_same(self, find):
        self.assertEqual(find(self.english), find(self.chinese))
        self.assertGreater(len(find(self.english)), 0)

    def test_the_code_blocks_are_equal(self):
        self.assert_same(code_lines)

    def test_the_inline_commands_are_equal(self):
        self.assert_same(lambda text: sorted(re.findall(r"`([^`\n]+)`", text)))

    def test_the_links_are_equal(self):
        self.assert_same(lambda text: [link for link in re.findall(r"\]\(([^)]+)\)", text) if "README" not in link or "/" in link])

    def test_headings_and_table_rows_match(self):
        self.assert_same(lambda text: re.findall(r"^(#+|\|)", text, re.M))

    def test_each_command_of_dev_exists(self):
        commands = re.search(r"^  (run \|.*)\) command=", (ROOT / "dev").read_text(), re.M).group(1).split(" | ")
        for command in re.findall(r"\./dev (\w+)", self.english):
            self.assertIn(command, commands)


if __name__ == "__main__":
    unittest.main()
