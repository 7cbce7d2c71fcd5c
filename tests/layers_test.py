#!/usr/bin/env python3
"""Checks which room includes what.

The source of the table of rooms is CMake: mi_room(NAME DEPS ... LIBS ...) in src/*/CMakeLists.txt names the rooms and the third-party
libraries that a room may include. This test fails if
- a room includes a room that is not in its DEPS, or a library that is not in its LIBS;
- a library in LIBS is not used by the room's product code;
- the table in ARCHITECTURE.md says something else than CMake."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"

# CMake's name of a library: its name in ARCHITECTURE.md, its headers, and the part of the room that it is confined to.
LIBRARIES = {
    "fmt::fmt": ("fmt", r"fmt/", ""),
    "PkgConfig::xxhash": ("xxhash", r"xxhash", ""),
    "prometheus-cpp::core": ("prometheus-cpp", r"prometheus/", ""),
    "${MI_GPERFTOOLS}": ("gperftools", r"gperftools/", ""),
    "yaml-cpp": ("yaml-cpp", r"yaml-cpp/", ""),
    "PkgConfig::sqlite3": ("sqlite3", r"sqlite3", ""),
    "PkgConfig::zstd": ("zstd", r"zstd", ""),
    "simdjson::simdjson": ("simdjson", r"simdjson", ""),
    "ZLIB::ZLIB": ("zlib", r"zlib\.h", ""),
    "Boost::headers": ("Beast", r"boost/", ""),
    "OpenSSL::Crypto": ("OpenSSL (SHA-256)", r"openssl/sha\.h", ""),
    "OpenSSL::SSL": ("OpenSSL (`tls/`)", r"openssl/", r"tls/"),
    "PkgConfig::xcrypt": ("libxcrypt", r"crypt\.h", ""),
    "PkgConfig::curl": ("libcurl", r"curl/", ""),
    "PkgConfig::hiredis": ("hiredis (`redis/`)", r"hiredis", r"redis/"),
    "PkgConfig::rdkafka": ("librdkafka (`kafka/`)", r"librdkafka", r"kafka/"),
    "PkgConfig::mariadb": ("libmariadb (`mysql/`)", r"mysql|mariadb", r"mysql/"),
    "roaring::roaring": ("CRoaring", r"roaring/", ""),
    "PkgConfig::re2": ("re2", r"re2/", ""),
    "CLI11::CLI11": ("CLI11", r"CLI/", ""),
    "PkgConfig::systemd": ("libsystemd", r"systemd/", ""),
}
FOR_TESTS_ONLY = {  # headers: the files that may include them
    r"protozero/": r"codec/testing/",
    r"snappy": r"codec/(testing/|snappy_decoder_test)",
}


def rooms():
    """Room name to (rooms, libraries) as CMake has them, in the order in which CMake builds them."""
    order = re.search(r"foreach\(room ([^)]*)\)", (SOURCE / "CMakeLists.txt").read_text()).group(1).split()
    table = {}
    for room in order:
        text = (SOURCE / room / "CMakeLists.txt").read_text()
        words = re.search(r"mi_room\(" + room + r"\b([^)]*)\)", text).group(1)
        deps, _, libraries = words.replace("DEPS", "").partition("LIBS")
        table[room] = (deps.split(), libraries.split())
    return table


def includes():
    """(file relative to src, line number, is it a system header, header)."""
    for path in sorted(SOURCE.rglob("*")):
        if path.suffix in (".h", ".cc"):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if found := re.match(r'\s*#\s*include\s*([<"])([^>"]+)', line):
                    yield path.relative_to(SOURCE).as_posix(), number, found.group(1) == "<", found.group(2)


def is_for_tests(name):
    return "/testing/" in name or re.search(r"_(test|bench|testing)\.(cc|h)$", name) is not None


def faults_of_own_include(table, name, header):
    room, target = name.split("/")[0], header.split("/")[0]
    if target == "support" and is_for_tests(name):
        return  # tests/support: what the tests of several rooms share
    if "/testing/" in header and not is_for_tests(name):
        yield "only tests may include what is made for tests"
    if "/" not in header:
        yield "include headers as \"room/file.h\""
    elif target not in (room, *table[room][0]):
        yield f"{room} may not include {target}"
    elif room == "config" and target not in ("config", "base") and not header.endswith("/options.h"):
        yield "config may include only the options of other rooms"


def faults_of_system_include(table, name, header, used):
    room, _, rest = name.partition("/")
    for pattern, home in FOR_TESTS_ONLY.items():
        if re.match(pattern, header) and not re.match(home, name):
            yield f"confined to src/{home}"
    candidates = [library for library, (_, pattern, _) in LIBRARIES.items() if re.match(pattern, header)]
    if not candidates:
        return
    allowed = [library for library in candidates if library in table[room][1]]
    if not allowed:
        yield f"no library of {room} has this header"
    for library in allowed:
        if not is_for_tests(name):
            used.add((room, library))
        part = LIBRARIES[library][2]
        if not is_for_tests(name) and not re.match(part, rest):
            yield f"confined to src/{room}/{part}"


def faults_of_includes(table):
    used = set()
    for name, number, system, header in includes():
        found = faults_of_system_include(table, name, header, used) if system else faults_of_own_include(table, name, header)
        for fault in found:
            yield f"src/{name}:{number}: {header}: {fault}"
    for room, (_, libraries) in table.items():
        for library in libraries:
            if library not in LIBRARIES:
                yield f"src/{room}/CMakeLists.txt: {library}: name its headers in tests/layers_test.py"
            elif (room, library) not in used:
                yield f"src/{room}/CMakeLists.txt: {library}: no product code includes its headers"
    for library in set(LIBRARIES) - {library for _, libraries in table.values() for library in libraries}:
        yield f"tests/layers_test.py: {library}: no room uses it"


def faults_of_document(table):
    text = (ROOT / "ARCHITECTURE.md").read_text()
    rows = dict(re.findall(r"^\| (\w+) \|.*?\| ([^|]*\|[^|]*) \|$", text, re.M))
    for room, (deps, libraries) in table.items():
        everything = len(deps) == len(table) - 1
        names = [LIBRARIES[library][0] for library in libraries if library in LIBRARIES]
        wanted = f"{'everything' if everything else ', '.join(deps) or '-'} | {', '.join(names) or '-'}"
        if rows.pop(room, "") != wanted:
            yield f"ARCHITECTURE.md: the row of {room} must end with: | {wanted} |"
    rows.pop("room", None)
    for room in rows:
        yield f"ARCHITECTURE.md: {room} is no room"


def main():
    table = rooms()
    faults = [*faults_of_includes(table), *faults_of_document(table)]
    for folder in sorted({p.name for p in SOURCE.iterdir() if p.is_dir()} ^ set(table)):
        faults.append(f"src/{folder}: add it to src/CMakeLists.txt, or remove it there")
    print("\n".join([*faults, f"{len(table)} rooms, {len(faults)} faults"]))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
