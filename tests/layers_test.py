#!/usr/bin/env python3
"""The rooms' table, enforced: a room includes only the rooms and the third parties that it may (ARCHITECTURE.md, "Rooms")."""
import pathlib
import re
import sys

SOURCE = pathlib.Path(__file__).resolve().parent.parent / "src"

# room: the rooms that it may include, besides itself.
MAY_INCLUDE = {
    "base": "",
    "model": "base",
    "telemetry": "base",
    "config": "base",
    "sqlite": "base",
    "codec": "base model",
    "net": "base telemetry",
    "dedupe": "base model telemetry",
    "stream": "base model codec sqlite telemetry",
    "store": "base model sqlite telemetry",
    "receive": "base model codec net dedupe stream telemetry",
    "forward": "base codec net telemetry",
    "index": "base model stream store telemetry",
    "catalog": "base model store telemetry",
    "query": "base model catalog telemetry",
    "web": "base model catalog codec net query store telemetry",
    "app": "*",
}

# header prefix: the files (as a pattern of room/file) that it is confined to.
CONFINED = {
    r"fmt/": r"base/",
    r"xxhash": r"model/",
    r"spdlog/|prometheus/|gperftools/": r"telemetry/",
    r"yaml-cpp/": r"config/",
    r"protozero/|snappy|zstd|simdjson": r"codec/",
    r"boost/": r"net/",
    r"openssl/": r"(net/|store/dictionary_hash)",
    r"hiredis": r"dedupe/redis[_/]",
    r"librdkafka": r"stream/(kafka[_/]|testing/)",
    r"sqlite3": r"sqlite/",
    r"mysql|mariadb": r"store/(mysql[_/]|testing/)",
    r"roaring/": r"catalog/",
    r"re2/": r"query/",
    r"CLI/": r"app/",
}


def faults():
    for path in sorted(SOURCE.rglob("*")):
        if path.suffix not in (".h", ".cc"):
            continue
        name = path.relative_to(SOURCE).as_posix()
        room = name.split("/")[0]
        for number, line in enumerate(path.read_text().splitlines(), 1):
            include = re.match(r'\s*#\s*include\s*([<"])([^>"]+)', line)
            if not include:
                continue
            kind, header = include.groups()
            where = f"src/{name}:{number}: {header}"
            if kind == '"':
                target = header.split("/")[0]
                for_tests = "/testing/" in name or re.search(r"_(test|bench|testing)\.(cc|h)$", name)
                if target == "support" and for_tests:
                    continue  # tests/support: what the tests of several rooms share
                if "/testing/" in header and not for_tests:
                    yield f"{where}: only tests may include what is made for tests"
                allowed = MAY_INCLUDE[room]
                if "/" not in header:
                    yield f"{where}: include headers as \"room/file.h\""
                elif target != room and allowed != "*" and target not in allowed.split():
                    yield f"{where}: {room} may not include {target}"
            for pattern, home in CONFINED.items():
                if kind == "<" and re.match(pattern, header) and not re.match(home, name):
                    yield f"{where}: confined to {home}*"


def main():
    found = list(faults())
    for fault in found:
        print(fault)
    rooms = {p.name for p in SOURCE.iterdir() if p.is_dir()}
    for room in sorted(rooms ^ set(MAY_INCLUDE)):
        found.append(room)
        print(f"src/{room}: not in the rooms' table, or gone")
    print(f"{len(rooms)} rooms, {len(found)} faults")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
