#!/usr/bin/env bash
# Runs ./dev check, builds the release binary and copies it to ./metric-index. LINT=no skips the check.
# Installs missing Debian packages (as root, or with sudo).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
[ "${LINT:-yes}" = no ] || ./dev check
./dev build release
install -m 755 build/release/bin/metric-index metric-index
./metric-index --version
