"""The emulator's Android programs: small scripts before this machine's own on PATH."""

from __future__ import annotations

import shutil
import stat
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]

PROPERTIES = {
    "ro.product.manufacturer": "detr2litert",
    "ro.product.name": "test_emulator",
    "ro.product.model": "test emulator (not a phone)",
    "ro.product.device": "emulator",
    "ro.hardware": "emulator",
    "ro.kernel.qemu": "1",
    "ro.build.version.release": "0",
    "ro.build.version.sdk": "0",
    "ro.build.fingerprint": "detr2litert/test_emulator/emulator:not-a-phone",
}
"""Every property identifies it as an emulator."""

_RUN_AS = """#!/bin/sh
state={state}; package=$1; shift
if [ -f "$state/$package.release" ]; then echo "run-as: package not debuggable: $package" >&2; exit 1; fi
if [ ! -f "$state/$package.debug" ]; then echo "run-as: unknown package: $package" >&2; exit 1; fi
cd {root}/data/data/$package && exec "$@"
"""

_AM = """#!/bin/sh
state={state}
case "$1" in
force-stop)
  if [ -f "$state/$2.pid" ]; then kill -9 "$(cat "$state/$2.pid")" 2>/dev/null; rm -f "$state/$2.pid"; fi;;
instrument) shift; exec {python} -m tests.device.app_process {root} "$@";;
*) echo "am: the emulator does not know $1" >&2; exit 255;;
esac
"""

# Of logcat only what a report needs: -d -v threadtime [--pid=N] [-T TIME] TAG:LEVEL ... '*:S'; -c.
_LOGCAT = """#!/bin/sh
log={state}/logcat; pid=; tags=; since=
while [ $# -gt 0 ]; do
  case "$1" in
  -c) : > "$log"; exit 0;;
  -T) since=$2; shift;;
  --pid=*) pid=${{1#--pid=}};;
  '*:S') ;;
  *:*) tags="$tags ${{1%%:*}}";;
  esac
  shift
done
[ -f "$log" ] || exit 0
exec {awk} -v pid="$pid" -v tags="$tags " -v since="$since" '
  {{ tag = " " substr($6, 1, length($6) - 1) " " }}
  (pid == "" || $3 == pid) && ($1 " " $2 >= since) && (tags == " " || index(tags, tag))' "$log"
"""

_GETPROP = """#!/bin/sh
if [ $# -gt 0 ]; then sed -n "s/^\\[$1\\]: \\[\\(.*\\)\\]$/\\1/p" {state}/properties; else cat {state}/properties; fi
"""


# Only programs that Android's toybox has too, so that no other can be used.
_TOYBOX = (
    *("[", "cat", "chmod", "cp", "cut", "date", "echo", "find", "grep", "head", "id", "kill", "ls", "mkdir", "mv", "printf"),
    *("rm", "rmdir", "sed", "sh", "sha256sum", "sleep", "sort", "stat", "tail", "test", "touch", "tr", "true", "wc", "xargs"),
)


def write_programs(root: Path, lacks: tuple[str, ...] = ()) -> None:
    """Writes the programs into the device's folder, for ``shell_environment``'s PATH, except those that it lacks."""
    state = root / ".emulator"
    folder = state / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    (state / "properties").write_text("".join(f"[{key}]: [{value}]\n" for key, value in PROPERTIES.items()), encoding="utf-8")
    for name, text in {"run-as": _RUN_AS, "am": _AM, "logcat": _LOGCAT, "getprop": _GETPROP}.items():
        script = folder / name
        words = {"root": root, "state": state, "python": sys.executable, "awk": shutil.which("awk")}
        script.write_text(text.format(**words), encoding="utf-8")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    for name in _TOYBOX:
        found = shutil.which(name)
        if found and name not in lacks:
            (folder / name).symlink_to(found)


def shell_environment(root: Path) -> dict[str, str]:
    """The environment of a command on the device."""
    return {
        "PATH": str(root / ".emulator" / "bin"),
        "PYTHONPATH": f"{REPOSITORY / 'src'}:{REPOSITORY}",
        "HOME": str(root / "data"),
        "LANG": "C.UTF-8",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
