"""Downloads Debian packages and extracts files from them, without root; nothing is installed.

apt-get downloads as any user if its state and cache folders are writable. Packages are unpacked with dpkg-deb, which runs none
of their scripts.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from detr2litert.host_runtime.errors import UserError

_LIMIT = 900.0
_SOURCES = Path("/etc/apt/sources.list")


def require_tools(what: str, instead: str) -> None:
    """Raises UserError if apt-get or dpkg-deb is missing; ``what`` names the purpose, ``instead`` the alternative."""
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise UserError(f"{what} and {tool} is not on this machine; {instead}")


def download(package: str, work: Path, instead: str) -> Path:
    """Downloads one package into ``work``: with the machine's package lists if they are usable, else with lists of our own.

    Raises:
        UserError: no such package, or no network.
    """
    if _apt(["download", package], work, instead).returncode != 0:
        # Lists are missing (a bare container) or name a version the mirror has since replaced.
        own = own_lists(work)
        _apt([*own, "update"], work, instead)
        done = _apt([*own, "download", package], work, instead)
        if done.returncode != 0:
            raise UserError(
                f"apt-get download {package}: {_reason(done)}; check the network and /etc/apt/sources.list, or {instead}"
            )
    return next(work.glob("*.deb"))


def download_with_missing(package: str, work: Path, instead: str, *, suite: str = "") -> list[Path]:
    """Downloads a package and those of its dependencies that are not installed on this machine.

    Args:
        package: its name.
        work: an empty folder.
        instead: the alternative, for messages.
        suite: a suite of the machine's own mirror to download it from even if the machine does not list that suite, for
            example ``"bookworm-backports"``; "" for the suites the machine lists.

    Raises:
        UserError: no such package, no mirror that has the suite, or no network.
    """
    own = own_lists(work)
    if suite:
        # In place of the machine's sources.list, which it repeats; sources.list.d is read beside it.
        listed = _SOURCES.read_text() if _SOURCES.exists() else ""
        (work / "sources.list").write_text(f"{listed}\ndeb {_mirror(suite.partition('-')[0], instead)} {suite} main\n")
        own.append(f"-oDir::Etc::sourcelist={work}/sources.list")
    _apt([*own, "update"], work, instead)
    wanted = f"{package}/{suite}" if suite else package
    done = _apt([*own, "install", "-y", "--download-only", "--no-install-recommends", wanted], work, instead)
    if done.returncode != 0:
        raise UserError(f"apt-get: {wanted} cannot be downloaded ({_reason(done)}); check the network, or {instead}")
    return sorted((work / "cache/archives").glob("*.deb"))


def own_lists(work: Path) -> list[str]:
    """Returns apt-get options that put state and cache in ``work``; the machine's record of installed packages stays in use."""
    for part in ("state/lists/partial", "cache/archives/partial"):
        (work / part).mkdir(parents=True, exist_ok=True)
    return [
        f"-oDir::State={work}/state", f"-oDir::Cache={work}/cache", "-oDir::State::status=/var/lib/dpkg/status",
        "-oAPT::Sandbox::User=", "-oDebug::NoLocking=1",
    ]  # fmt: skip


def unpack(packages: Sequence[Path], into: Path, instead: str) -> None:
    """Unpacks packages over one another.

    Raises:
        UserError: a package is damaged, or there is no space left.
    """
    for package in packages:
        done = _run(["dpkg-deb", "-x", str(package), str(into)], instead)
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise UserError(
                f"dpkg-deb: {package.name} cannot be unpacked: {last}; free some space and run this again, or {instead}"
            )


def _mirror(release: str, instead: str) -> str:
    """Returns the URI from which this machine downloads a release."""
    done = _run(["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages"], instead)
    for line in done.stdout.splitlines():
        found, _, uri = line.partition(" ")
        if found == release and uri:
            return uri
    raise UserError(f"this machine's package sources do not list {release}; {instead}")


def _apt(arguments: list[str], work: Path, instead: str) -> subprocess.CompletedProcess[str]:
    try:
        return _run(["apt-get", "-q", *arguments], instead, work=work, limit=_LIMIT)
    except subprocess.TimeoutExpired as error:
        raise UserError(f"apt-get {arguments[-1]}: no answer in {_LIMIT:.0f} s; check the network, or {instead}") from error


def _run(
    command: list[str], instead: str, *, work: Path | None = None, limit: float | None = None
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, cwd=work, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit, check=False
        )
    except OSError as error:
        raise UserError(f"{command[0]} cannot be started: {error.strerror or error}; {instead}") from error


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    return next((line for line in done.stderr.splitlines() if line.startswith("E:")), f"exit code {done.returncode}")
