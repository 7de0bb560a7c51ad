#!/usr/bin/env bash
# The benchmarks compare like with like: every case is run once, small, by both sides, and what they made
# and read is compared. Nothing is timed. Closes with `N passed, N failed`.

set -u -o pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

./run bench --quick
