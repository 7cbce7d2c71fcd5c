#!/usr/bin/env bash
# Lints, builds and puts the binary where it is expected: ./metric-index. LINT=no leaves the first out.
# Debian packages that are missing are installed (root, or sudo).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
[ "${LINT:-yes}" = no ] || ./dev check
./dev build release
install -m 755 build/release/bin/metric-index metric-index
./metric-index --version
