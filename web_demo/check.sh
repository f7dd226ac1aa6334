#!/usr/bin/env bash
# Checks the web demo: web_demo/check.sh [BUNDLE ...]
#
#   1. its style and its types: prettier, and TypeScript's checker over plain JavaScript
#   2. Node's tests: every module but the GPU's against vectors that the Python runtime writes; each BUNDLE is one more of them
#   3. the page in a real, headless Chromium, on WebGPU in software (SwiftShader): a bundle small enough to check by hand, planted
#      faults, graphs that the GPU refuses, and each BUNDLE, whose verdict must be "agrees"
#
# Needs Python 3.11 with the host runtime's requirements (PYTHON, else .venv/bin/python), Node 20 or newer with npm; and Chromium
# (CHROMIUM, else the machine's) or apt with Debian's package sources, to fetch one without root. Downloads are kept in
# CHECK_CACHE, by default in the user's cache folder, and npm's packages in web_demo/node_modules. Screenshots of each BUNDLE go
# to SHOTS, by default build/web_demo. No GPU is needed, and none is used.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
repo=$(dirname "$here")
cache=${CHECK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/detr2litert/web-check}
python=${PYTHON:-$repo/.venv/bin/python}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { printf '\n== %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 2; }

for tool in node npm "$python"; do
  command -v "$tool" >/dev/null || fail "$tool is missing (Node 20 with npm; PYTHON names the interpreter)"
done
[ "$(node -p 'parseInt(process.versions.node)')" -ge 20 ] || fail "Node 20 or newer is needed, this is $(node --version)"
bundles=
for bundle in "$@"; do
  [ -e "$bundle/manifest.json" ] || fail "$bundle is no bundle: give the folder that \`convert run\` wrote"
  bundles+=${bundles:+:}$(cd "$bundle" && pwd)
done

say "tools (kept in $cache and in web_demo/node_modules)"
mkdir -p "$cache"
if ! cmp -s "$here/package-lock.json" "$here/node_modules/.installed"; then
  (cd "$here" && npm ci --ignore-scripts --no-audit --no-fund)
  cp "$here/package-lock.json" "$here/node_modules/.installed"
fi
chromium=$(bash "$here/chromium.sh" "$cache")
"$chromium" --version 2>/dev/null

say "style and types"
(cd "$here" && node_modules/.bin/prettier --log-level warn --check src test style.css && node_modules/.bin/tsc -p .)

say "golden vectors"
PYTHONPATH=$repo "$python" "$repo/tests/android/make_goldens.py" "$work/goldens" "$@"
PYTHONPATH=$repo "$python" "$repo/tests/web/make_files.py" "$work/files" "$work/goldens/bundles/hand_made"

say "Node's tests"
export GOLDENS=$work/goldens FILES=$work/files PYTHON=$python
node --test "$here"/test/*.test.js >"$work/node.log" 2>&1 || { grep -vE '^(ok|    (---|\.\.\.|duration_ms|type))' "$work/node.log"; exit 1; }
grep -E '^# (tests|pass|fail|skipped)' "$work/node.log"

say "the page in Chromium"
export CHROMIUM=$chromium BUNDLES=$bundles SHOTS=${SHOTS:-$repo/build/web_demo}
node --test --test-reporter=spec "$here"/test/browser/page.test.js

say "all checks passed, on a GPU in software; screenshots, if bundles were given, in $SHOTS"
