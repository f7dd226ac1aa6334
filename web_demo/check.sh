#!/usr/bin/env bash
# Checks the web demo: web_demo/check.sh [BUNDLE ...]
#
#   1. its style and its types: prettier, and TypeScript's checker over plain JavaScript
#   2. Node's tests: every module but the GPU's against vectors that the Python runtime writes; each BUNDLE adds one
#   3. the page in a real, headless Chromium, on WebGPU in software (SwiftShader): a bundle small enough to check by hand, planted
#      faults, graphs that the GPU refuses, and each BUNDLE, whose verdict must be "agrees"
#
# Needs Python 3.11 with the host runtime's requirements (PYTHON, else .venv/bin/python), Node 20 or newer with npm; and Chromium
# (CHROMIUM, else the machine's) or apt with Debian's package sources, to fetch one without root into the user's cache folder.
# npm's packages go to web_demo/node_modules. Screenshots go to SHOTS, by default build/web_demo. No GPU is needed, and none is
# used. Exit code 1 is a failed check; 2 is a usage error, or a tool that is missing and cannot be installed.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
repo=$(dirname "$here")
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
  [ -e "$bundle/manifest.json" ] || fail "$bundle is not a bundle: give the folder that \`convert run\` wrote"
  bundles+=${bundles:+:}$(cd "$bundle" && pwd)
done

say "tools (cached in web_demo/node_modules and in the user's cache folder)"
if ! cmp -s "$here/package-lock.json" "$here/node_modules/.installed"; then
  (cd "$here" && npm ci --ignore-scripts --no-audit --no-fund) || fail "npm ci in web_demo failed: see above; check the network"
  cp "$here/package-lock.json" "$here/node_modules/.installed"
fi
chromium=$(cd "$repo" && PYTHONPATH=$repo/src:$repo "$python" -m tests.web.chromium) || exit 2
"$chromium" --version 2>"$work/chromium.log" || { cat "$work/chromium.log" >&2; fail "$chromium does not start: see above"; }

say "style and types"
(cd "$here" && node_modules/.bin/prettier --log-level warn --check src server test probe/*.js serve.js style.css && node_modules/.bin/tsc -p .)

say "golden vectors"
PYTHONPATH=$repo/src:$repo "$python" "$repo/tests/android/make_goldens.py" "$work/goldens" "$@"
PYTHONPATH=$repo/src:$repo "$python" "$repo/tests/web/make_files.py" "$work/files" "$work/goldens/bundles/hand_made"

say "Node's tests"
export GOLDENS=$work/goldens FILES=$work/files PYTHON=$python
node --test "$here"/test/*.test.js >"$work/node.log" 2>&1 || { grep -vE '^(ok|    (---|\.\.\.|duration_ms|type))' "$work/node.log"; exit 1; }
grep -E '^# (tests|pass|fail|skipped)' "$work/node.log"

say "the page in Chromium"
export CHROMIUM=$chromium BUNDLES=$bundles SHOTS=${SHOTS:-$repo/build/web_demo}
node --test --test-concurrency=1 --test-reporter=spec "$here"/test/browser/*.test.js

say "all checks passed, on a GPU in software; screenshots in $SHOTS"
