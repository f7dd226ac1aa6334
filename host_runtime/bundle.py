"""Opens a bundle, a folder or a .zip, and checks each file's path, size and sha256 before it is used."""

from __future__ import annotations

import hashlib
import lzma
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from detr2litert.host_runtime.errors import UserError, readable
from detr2litert.host_runtime.foreign_json import OWN
from detr2litert.host_runtime.host_table import host_table
from detr2litert.host_runtime.manifest import HOST_PARAMS_NAME, MANIFEST_NAME, REMAKE, Manifest, TensorSpec
from detr2litert.host_runtime.scratch import ScratchFolder
from detr2litert.host_runtime.tflite.verify_indices import LARGEST

# A larger manifest is refused before it is read.
_MANIFEST_LIMIT = OWN.size
# The largest published detector takes a quarter of the largest .tflite file.
_TOTAL_LIMIT = 2 * LARGEST
_CHUNK = 2**20


@dataclass(frozen=True)
class Bundle:
    """A checked bundle on disk. One from a .zip is in a temporary folder until `close()` (or the object's end)."""

    root: Path
    manifest: Manifest
    _unpacked: ScratchFolder | None = field(default=None, repr=False, compare=False)

    def path(self, name: str) -> Path:
        """Returns the path of a file that the manifest lists."""
        return self.root.joinpath(*PurePosixPath(name).parts)

    def graphs(self) -> dict[str, Path]:
        """Returns the graphs' files by the names that reports use, those of the native form included."""
        return {name: self.path(spec.file) for name, spec in self.manifest.graphs_by_name.items()}

    def host_constants(self) -> dict[str, NDArray[np.generic]]:
        """Returns the host step's constants by name, each with the manifest's shape and dtype.

        Raises:
            UserError: the file is not safetensors, or a constant is missing or of another shape or dtype.
        """
        specs = self.manifest.host_step.constants
        return _read_tensors(self.path(HOST_PARAMS_NAME), specs) if specs else {}

    def golden_tensors(self) -> dict[str, NDArray[np.generic]]:
        """Returns every stage's recorded tensors by name; empty if the bundle has no golden vectors.

        Raises:
            UserError: the file is not safetensors.
        """
        golden, native = self.manifest.golden, self.manifest.native
        pixels = None if native is None else native.pixels
        return {} if golden is None else _read_tensors(self.path(golden.tensors), (), pixels)

    def close(self) -> None:
        """Removes the temporary folder of a bundle that came from a .zip."""
        if self._unpacked is not None:
            self._unpacked.close()

    def __enter__(self) -> Bundle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def load_bundle(path: str | Path) -> Bundle:
    """Opens and checks a bundle.

    Args:
        path: the bundle's folder, or a .zip of it (its files at the top or in one folder).

    Raises:
        UserError: there is no bundle, the manifest has a newer schema or is inconsistent, a path leaves the bundle, or a file
            is missing, truncated, unreadable, or has another sha256; the message names the file and what to do.
    """
    path = Path(path)
    with readable(path):
        if path.is_dir():
            return _load_folder(path)
        if not path.exists():
            raise UserError(f"no bundle at {path}; give the folder or the .zip that `convert run` wrote")
        if not _is_zip(path):
            raise UserError(
                f"{path} is neither a bundle folder nor a .zip; give the folder or the .zip that `convert run` wrote"
            )
    unpacked = ScratchFolder()
    try:
        _unzip(path, unpacked.path)
        return _load_folder(unpacked.path, unpacked)
    except BaseException:
        unpacked.close()
        raise


def _is_zip(path: Path) -> bool:
    if not path.is_file():
        return False
    # Given a path, zipfile returns False for a file without read permission instead of raising.
    with path.open("rb") as stream:
        return zipfile.is_zipfile(stream)


def file_sha256(path: Path) -> str:
    """Returns the sha256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _load_folder(root: Path, unpacked: ScratchFolder | None = None) -> Bundle:
    manifest_path = root / MANIFEST_NAME
    if not manifest_path.is_file() or manifest_path.is_symlink():
        raise UserError(f"{root} has no {MANIFEST_NAME}; give the folder or the .zip that `convert run` wrote")
    if manifest_path.stat().st_size > _MANIFEST_LIMIT:
        raise UserError(f"{manifest_path} is larger than {_MANIFEST_LIMIT} bytes; {REMAKE}")
    manifest = Manifest.from_json(_utf8(manifest_path.read_bytes(), str(manifest_path)), str(manifest_path))
    _check_sizes(manifest, str(manifest_path))
    for name, record in manifest.files.items():
        _check_file(root, name, record.bytes, record.sha256)
    return Bundle(root, manifest, unpacked)


def _check_sizes(manifest: Manifest, where: str) -> int:
    """Returns the bytes of all files that a manifest lists; refuses what would take minutes to hash, or fill a disk."""
    sizes = {name: record.bytes for name, record in manifest.files.items()}
    largest = max(sizes, key=sizes.__getitem__, default="")
    total = sum(sizes.values())
    if total > _TOTAL_LIMIT or (largest and sizes[largest] > LARGEST):
        raise UserError(
            f"{where} lists {total} bytes in all, {sizes[largest]} in {largest}, more than any detector has ({_TOTAL_LIMIT} "
            f"and {LARGEST}); don't trust this bundle: {REMAKE}"
        )
    return total


def _check_file(root: Path, name: str, size: int, sha256: str) -> None:
    path = root.joinpath(*_safe_parts(name, str(root)))
    # A link anywhere in the path could lead out of the bundle, whatever its present target.
    inside = (path, *(parent for parent in path.parents if root in parent.parents))
    if any(step.is_symlink() for step in inside):
        raise UserError(f"{name} in {root} is a link, which a bundle may not hold; copy the real file in, or {REMAKE}")
    if not path.is_file():
        raise UserError(f"{name} is missing from {root}; copy the whole bundle again, or {REMAKE}")
    found = path.stat().st_size
    if found != size:
        state = "cut short" if found < size else "too long"
        raise UserError(f"{name} in {root} is {state} ({found} bytes, not {size}); copy the whole bundle again, or {REMAKE}")
    if file_sha256(path) != sha256:
        raise UserError(
            f"{name} in {root} is damaged or changed (its sha256 is not the manifest's); copy it again, or {REMAKE}"
        )


def _safe_parts(name: str, where: str) -> tuple[str, ...]:
    """Returns the parts of a relative POSIX path; refuses one that could leave the bundle on any system (also `C:`, `\\`)."""
    parts = tuple(name.split("/"))
    if any(part in ("", ".", "..") or "\\" in part or ":" in part or "\0" in part for part in parts):
        raise UserError(f"{where} lists the path {name!r}, which is not inside the bundle; don't trust this bundle: {REMAKE}")
    return parts


def _utf8(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{where} is not UTF-8 text; {REMAKE}") from error


def _unzip(path: Path, root: Path) -> None:
    """Unpacks the manifest and the files that it lists, each of the listed size only, as a protection from zip bombs."""
    try:
        with zipfile.ZipFile(path) as archive:
            members: dict[str, zipfile.ZipInfo] = {}
            for info in archive.infolist():
                if info.is_dir():
                    continue
                _safe_parts(info.filename, str(path))
                if stat.S_ISLNK(info.external_attr >> 16):
                    raise UserError(f"{path} holds the link {info.filename!r}, which a bundle may not; {REMAKE}")
                members[info.filename] = info
            tops = [name for name in members if name.split("/")[-1] == MANIFEST_NAME and name.count("/") <= 1]
            if len(tops) != 1:
                raise UserError(f"{path} holds {len(tops)} {MANIFEST_NAME} at its top; give the .zip that `convert run` wrote")
            prefix = tops[0].removesuffix(MANIFEST_NAME)
            if members[tops[0]].file_size > _MANIFEST_LIMIT:
                raise UserError(f"{tops[0]} in {path} is larger than {_MANIFEST_LIMIT} bytes; {REMAKE}")
            text = archive.read(tops[0])
            (root / MANIFEST_NAME).write_bytes(text)
            where = f"{tops[0]} in {path}"
            manifest = Manifest.from_json(_utf8(text, where), where)
            needed, free = _check_sizes(manifest, where), shutil.disk_usage(root).free
            if needed > free:
                raise UserError(
                    f"{path} needs {needed} bytes in {root.parent}, which has {free}; free some space or set TMPDIR"
                )
            for name, record in manifest.files.items():
                info_or_none = members.get(prefix + name)
                if info_or_none is None:
                    raise UserError(f"{name} is missing from {path}; copy the whole bundle again, or {REMAKE}")
                if info_or_none.file_size != record.bytes:
                    raise UserError(
                        f"{name} in {path} has {info_or_none.file_size} bytes, not {record.bytes}; copy it all again, "
                        f"or {REMAKE}"
                    )
                target = root.joinpath(*_safe_parts(name, where))
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info_or_none) as source, target.open("wb") as sink:
                    _copy(source, sink, record.bytes)
    except _UNREADABLE as error:
        raise _not_unpacked(path, error) from error
    except OSError as error:
        if error.errno is None:  # bz2 raises it for damaged data
            raise _not_unpacked(path, error) from error
        raise UserError(f"{path} cannot be unpacked into {root} ({error}); free some space or set TMPDIR") from error


# zipfile raises RuntimeError for an encrypted member, NotImplementedError for an unknown compression, and for damaged fields
# whatever the modules that it calls do; MemoryError is for an LZMA dictionary of any size.
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    ArithmeticError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    ValueError,
)


def _not_unpacked(path: Path, error: Exception) -> UserError:
    return UserError(f"{path} cannot be unpacked ({error or type(error).__name__}); copy it again, or {REMAKE}")


def _copy(source: IO[bytes], sink: IO[bytes], size: int) -> None:
    """Copies a member of this size; raises BadZipFile as soon as it turns out larger."""
    while chunk := source.read(_CHUNK):
        size -= len(chunk)
        if size < 0:
            raise zipfile.BadZipFile("a file is larger than the manifest says")
        sink.write(chunk)


def _read_tensors(path: Path, specs: Sequence[TensorSpec], pixels: str | None = None) -> dict[str, NDArray[np.generic]]:
    """Reads tensors, those of ``specs`` among them; one of this name may be of bytes."""
    try:
        tensors: dict[str, NDArray[np.generic]] = safetensors.numpy.load_file(path)
    except (SafetensorError, OSError, KeyError, ValueError, AttributeError, TypeError) as error:
        # The last two for types that NumPy lacks, such as F4, F8_E4M3 and BF16.
        raise UserError(f"{path} is not a safetensors file ({error}); {REMAKE}") from error
    for spec in specs:
        tensor = tensors.get(spec.name)
        if tensor is None:
            raise UserError(f"{path} lacks the constant '{spec.name}'; {REMAKE}")
        if tensor.shape != spec.shape or str(tensor.dtype) != spec.dtype:
            raise UserError(
                f"the constant '{spec.name}' in {path} is {tensor.dtype}{list(tensor.shape)}, "
                f"not {spec.dtype}{list(spec.shape)}; {REMAKE}"
            )
    for name, found in tensors.items():
        if str(found.dtype) not in host_table().dtypes and not (name == pixels and found.dtype == np.uint8):
            raise UserError(f"{name[:200]!r} in {path} is {found.dtype}, not {' or '.join(host_table().dtypes)}; {REMAKE}")
    return tensors
