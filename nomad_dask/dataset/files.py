"""Files of a dataset, on a local disk or at any fsspec URL, and conversion of their errors to ours.

Writes are atomic: a local file is written to a temporary name and renamed; an object store needs no rename,
because a put is atomic. On an object store, a folder exists only as a prefix of object names (or as an empty
object with its name, which is ignored). fsspec caches listings; they are invalidated before each lookup,
because other processes write too. Endpoint and credentials come from the configuration of fsspec and the
store in each process, never from the URL.

Only regular local files are opened, because opening a FIFO would block forever. Only fsspec calls that take a
path literally are used: `cat`, `glob` and `get` expand `[ ] * ?`, and `url_to_fs` reads `::` as a chain of
file systems.
"""

from __future__ import annotations

import errno
import os
import re
import shlex
import stat
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any, NoReturn, TypeAlias

import fsspec.core

from nomad_dask.errors import DatasetError, NomadDaskError, StorageError, UserError
from nomad_dask.text import shown

MANIFEST = "manifest.json"
ASIDE = ".aside"
"""The folder of temporary files."""
_URL = re.compile(r"(?:\w+::)*[A-Za-z][\w+.-]*://")
"""The start of a URL, or of a chain of file systems such as `simplecache::s3://`; all else is a path."""
_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISREG, "a file"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
)
_PERMANENT = {errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL, errno.EISDIR, errno.ENXIO}
"""Errors caused by the name itself: a retry does not help."""
_NO_CONDITIONAL_PUT = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)
_ADVICE = (
    "; check that the bucket or folder exists, and that the endpoint and credentials "
    "in the environment of each process give access to it"
)


def is_url(path: str) -> bool:
    """True for a URL, False for a path on a local disk."""
    return _URL.match(path) is not None


def absolute(url: str | os.PathLike[str]) -> str:
    """Return a path or URL that means the same in every process.

    UserError for a URL that contains a password. `~` is expanded only if it is the whole path or its first
    component; everything else is taken literally.
    """
    if not isinstance(url, str | os.PathLike):
        raise UserError(f"the path of a dataset must be a path or a URL, not {shown(url)}")
    text = os.fsdecode(url)
    if not text or "\0" in text:
        raise UserError(
            f"the path of a dataset must be a path or a URL, not {shown(text)}; '.' is the current folder"
        )
    path = next((text.removeprefix(scheme) for scheme in _LOCAL if text.startswith(scheme)), text)
    if path != text or not is_url(text):
        return os.path.abspath(os.path.expanduser(path) if path.split("/")[0] == "~" else path)
    scheme, _, rest = text.partition("://")
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if ":" in host.rpartition("@")[0]:
        raise UserError(
            f"a password in a {scheme}:// URL would end up in files and logs; remove it, and set it "
            "in fsspec's configuration or in the environment"
        )
    if "?versionId=" in rest:
        raise UserError(
            f"{text} names one version of an object, but a dataset has many objects; remove ?versionId="
        )
    return text.rstrip("/")


_LOCAL = ("file://", "local://")


def files_at(url: str) -> Files:
    """Return the files at a path or URL that `absolute` returned."""
    return _ObjectStore(url) if is_url(url) else Folder(url)


def write_file(url: str, content: bytes) -> None:
    """Write a single file outside a dataset, at a path or URL. UserError if that fails."""
    path = absolute(url)
    try:
        if is_url(path):
            fs, target = _open_url(path)
            fs.pipe_file(target, content)
        else:
            temporary = os.path.join(os.path.dirname(path), f".nomad-dask-{uuid.uuid4().hex}")
            _write_atomically(temporary, path, content)
    except Exception as error:  # stores have errors of their own kinds
        raise UserError(f"cannot write {path}: {words(error)}; choose another path") from error


def resume(url: str) -> str:
    """Return the command that completes the dataset at `url`."""
    return f"nomad-dask resume {shlex.quote(url)}"


def damaged(url: str, name: str, what: str, advice: str = "") -> DatasetError:
    """Return the error for a file of the dataset at `url`; `what` is like `is a folder, not a file`."""
    if not advice and name == MANIFEST:
        advice = "restore it from a copy, or harvest into another folder"
    elif not advice:
        advice = f"remove it, and `{resume(url)}` writes it again"
    return DatasetError(f"{f'{url}/{name}'.rstrip('/')} {what}; {advice}")


def words(error: Exception) -> str:
    """Return the message of an error as one line."""
    text = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    return str(text).splitlines()[0][:300]


@contextmanager
def writing(url: str, name: str) -> Iterator[None]:
    """Convert errors while the file `name` of a dataset is written to StorageError or DatasetError."""
    try:
        yield
    except NomadDaskError:
        raise
    except FileNotFoundError as error:
        raise StorageError(
            f"cannot write {url}/{name}: the dataset was removed while it was being written; start again"
        ) from error
    except IsADirectoryError as error:
        raise damaged(url, name, "is a folder, not a file") from error
    except Exception as error:  # stores have errors of their own kinds
        raise StorageError(
            f"cannot write {url}/{name}: {words(error)}; "
            "free some space or fix the target, then run the same command again: finished segments are kept"
        ) from error


@dataclass(frozen=True, slots=True)
class Folder:
    """The files of a dataset in a local folder, which may not exist yet.

    Names are relative to the folder. The value can be pickled and has no open handles.
    """

    url: str
    """The absolute path."""

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, or None if it does not exist."""
        try:
            self.must_be_file(name)
            with open(self._path(name), "rb", opener=_nonblocking) as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._unreadable(name, error) from error

    def read_all(self, names: Iterable[str]) -> dict[str, bytes]:
        """Return the content of files by name, read concurrently if the store can; without missing files."""
        found = ((name, self.read(name)) for name in names)
        return {name: content for name, content in found if content is not None}

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Open a file for reading. FileNotFoundError if it does not exist, DatasetError if it is no file."""
        self.must_be_file(name)
        with ExitStack() as opened:
            try:
                file = opened.enter_context(open(self._path(name), "rb", opener=_nonblocking))
            except (FileNotFoundError, NotADirectoryError):
                raise
            except OSError as error:
                raise self._unreadable(name, error) from error
            yield file

    def names(self, folder: str = "") -> set[str]:
        """Return the base names in a folder; an empty set if it does not exist. One listing."""
        try:
            return set(os.listdir(self._path(folder)))
        except (FileNotFoundError, NotADirectoryError) as error:
            if isinstance(error, NotADirectoryError) or os.path.islink(self._path(folder)):
                raise self._no_folder(folder) from error
            return set()
        except OSError as error:
            raise self._unreadable(folder, error) from error

    def sizes(self, folder: str, is_file: Callable[[str], bool], *, depth: int = 2) -> dict[str, int]:
        """Return the sizes of the files in a folder and its direct subfolders, by relative name.

        DatasetError for anything that is neither file nor folder, and for a folder with a file's name.
        """
        found: dict[str, int] = {}
        for name in self.names(folder):
            below = f"{folder}/{name}"
            status = self._status(below)
            if status is None:
                continue
            if stat.S_ISDIR(status.st_mode) and not is_file(name):
                inside = self.sizes(below, is_file, depth=depth - 1) if depth > 1 else {}
                found |= {f"{name}/{inner}": size for inner, size in inside.items()}
            else:
                self._must_be_regular(below, status)
                found[name] = status.st_size
        return found

    def must_be_file(self, name: str) -> None:
        """Raise DatasetError if `name` exists and is not a file."""
        if (status := self._status(name)) is not None:
            self._must_be_regular(name, status)

    def check(self) -> None:
        """Raise UserError if files cannot be written here. Call it before any request to a server.

        Writes a temporary folder, or an empty object on an object store, and removes it if that is allowed.
        """
        path = self.url
        while not os.path.lexists(path):
            path = os.path.dirname(path)
        try:
            os.rmdir(tempfile.mkdtemp(prefix=".nomad-dask-", dir=path))
        except OSError as error:
            raise UserError(
                f"cannot write to {self.url}: {words(error)} at {path}; choose a folder with write permission"
            ) from error

    def make(self, folders: Iterable[str]) -> None:
        """Make folders, if the file system has folders."""
        for folder in (ASIDE, *folders):
            try:
                os.makedirs(self._path(folder), exist_ok=True)
            except (FileExistsError, NotADirectoryError) as error:
                raise damaged(self.url, folder, "is a file where a folder should be") from error

    def create(self, name: str, content: bytes) -> None:
        """Write a file unless it exists. If two processes do this at the same time, one file is kept.

        An object store without conditional puts keeps the later one.
        """
        self.write(name, content, keep_existing=True)

    def write(self, name: str, content: Any, *, keep_existing: bool = False) -> None:
        """Write or replace a file. StorageError if the dataset was removed in the meantime."""
        temporary = f"{ASIDE}/{os.path.basename(name)}.{os.getpid()}.{uuid.uuid4().hex}"
        with writing(self.url, name):
            _write_atomically(self._path(temporary), self._path(name), content, keep_existing=keep_existing)

    def remove(self, names: Iterable[str]) -> None:
        """Remove files. Ignores files that do not exist or must not be removed."""
        for name in names:
            with suppress(OSError):
                os.unlink(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self.url}/{name}" if name else self.url

    def _status(self, name: str) -> os.stat_result | None:
        """None if the file or folder does not exist; DatasetError for a broken link."""
        path = self._path(name)
        try:
            return os.stat(path)
        except NotADirectoryError:
            return None
        except FileNotFoundError as error:
            if os.path.islink(path):
                raise damaged(self.url, name, "is a link to a file that does not exist") from error
            return None
        except OSError as error:
            raise self._unreadable(name, error) from error

    def _must_be_regular(self, name: str, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise damaged(self.url, name, f"is {_kind(status)}, not a file")

    def _no_folder(self, name: str) -> DatasetError:
        try:
            what = f"is {_kind(os.stat(self._path(name)))}"
        except FileNotFoundError:
            what = "is a link to a folder that does not exist"
        except NotADirectoryError:
            what = "is below a file"
        if name:
            return damaged(self.url, name, f"{what}, not a folder")
        return DatasetError(f"{self.url} {what}; a dataset needs a folder of its own")

    def _unreadable(self, name: str, error: OSError) -> NomadDaskError:
        """The error for a file or folder that exists but cannot be read."""
        if isinstance(error, PermissionError):
            return damaged(self.url, name, f"cannot be read: {words(error)}", "check its permissions")
        if error.errno in _PERMANENT:
            return damaged(self.url, name, f"cannot be read: {words(error)}")
        path = self._path(name)
        return StorageError(f"cannot read {path}: {words(error)}; try again when the disk is available")


def _kind(status: os.stat_result) -> str:
    return next((name for is_one, name in _KINDS if is_one(status.st_mode)), "a device")


def _nonblocking(path: str, flags: int) -> int:
    """Open a file without blocking, in case it has been replaced by a FIFO since it was checked."""
    return os.open(path, flags | os.O_NONBLOCK)


def _write_atomically(temporary: str, target: str, content: Any, *, keep_existing: bool = False) -> None:
    """Write a temporary file on the same disk, flush it, and rename it (unless an existing file is kept)."""
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if keep_existing:
            with suppress(FileExistsError):
                os.link(temporary, target)
        else:
            os.replace(temporary, target)
        _flush_folder(os.path.dirname(target))
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)


def _flush_folder(folder: str) -> None:
    """Flush a folder to disk, so that a rename survives a power failure (POSIX only)."""
    with suppress(OSError, AttributeError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@dataclass(frozen=True, slots=True)
class _ObjectStore:
    """The files of a dataset at an fsspec URL. The methods are those of `Folder`."""

    url: str
    """The URL, as returned by `absolute`."""

    def read(self, name: str) -> bytes | None:
        fs, root = _open_url(self.url)
        try:
            with _reading(self.url):
                return bytes(fs.cat_file(f"{root}/{name}"))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read_all(self, names: Iterable[str]) -> dict[str, bytes]:
        fs, root = _open_url(self.url)
        wanted = list(names)
        whole = [None] * len(wanted)
        with _reading(self.url):
            # `cat` would expand patterns in the paths; ranges without ends are whole files.
            found = fs.cat_ranges([f"{root}/{name}" for name in wanted], whole, whole, on_error="return")
            for content in found:
                if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
                    raise content
        return {
            name: bytes(content)
            for name, content in zip(wanted, found, strict=True)
            if not isinstance(content, Exception)
        }

    @contextmanager
    def open(self, name: str) -> Iterator[Any]:
        fs, root = _open_url(self.url)
        with _reading(self.url):
            fs.invalidate_cache(f"{root}/{name}")
            with fs.open(f"{root}/{name}", "rb") as file:
                yield file

    def names(self, folder: str = "") -> set[str]:
        fs, root = _open_url(self.url)
        path = f"{root}/{folder}".rstrip("/")
        with _reading(self.url):
            fs.invalidate_cache()
            try:
                found = [name.rstrip("/") for name in fs.ls(path, detail=False)]
            except FileNotFoundError:
                return set()
            except NotADirectoryError as error:
                raise DatasetError(
                    f"{self.url} lies below a file; a dataset needs a folder of its own"
                ) from error
            if found == [path] and not fs.isdir(path):
                raise DatasetError(f"{self.url} is a file; a dataset needs a folder of its own")
        return {name.rsplit("/", 1)[-1] for name in found if name != path}

    def sizes(self, folder: str, is_file: Callable[[str], bool]) -> dict[str, int]:
        fs, root = _open_url(self.url)
        with _reading(self.url):
            fs.invalidate_cache()
            try:
                found = fs.find(f"{root}/{folder}", detail=True)
            except FileNotFoundError:
                return {}
        below = len(root) + len(folder) + 2
        return {path[below:]: int(file["size"]) for path, file in found.items() if not path.endswith("/")}

    def must_be_file(self, name: str) -> None:
        """Do nothing: an object and a prefix may have the same name."""

    def check(self) -> None:
        fs, root = _open_url(self.url)
        probe = f"{root}/{ASIDE}/{uuid.uuid4().hex}"
        try:
            fs.pipe_file(probe, b"")
        except Exception as error:
            _refuse(f"cannot write to {self.url}", error)
        with suppress(Exception):  # some logins may write but not delete
            fs.rm_file(probe)

    def make(self, folders: Iterable[str]) -> None:
        """Do nothing: an object store has no folders."""

    def create(self, name: str, content: bytes) -> None:
        with writing(self.url, name):
            fs, root = _open_url(self.url)
            fs.invalidate_cache()
            if not fs.exists(f"{root}/{name}"):
                _put_if_absent(fs, f"{root}/{name}", content)

    def write(self, name: str, content: Any) -> None:
        with writing(self.url, name):
            fs, root = _open_url(self.url)
            fs.invalidate_cache(f"{root}/{MANIFEST}")
            if not fs.exists(f"{root}/{MANIFEST}"):
                raise FileNotFoundError(root)
            fs.pipe_file(f"{root}/{name}", bytes(content))

    def remove(self, names: Iterable[str]) -> None:
        fs, root = _open_url(self.url)
        for name in names:
            with suppress(Exception):  # some logins may write but not delete
                fs.rm_file(f"{root}/{name}")


Files: TypeAlias = Folder | _ObjectStore


@contextmanager
def _reading(url: str) -> Iterator[None]:
    """Convert errors while a store is read to UserError or StorageError, except FileNotFoundError."""
    try:
        yield
    except (NomadDaskError, FileNotFoundError):
        raise
    except Exception as error:
        _refuse(f"cannot read {url}", error)


def _refuse(what: str, error: Exception) -> NoReturn:
    """Raise StorageError if the problem may be temporary, else UserError."""
    temporary = isinstance(error, OSError) and not isinstance(error, PermissionError | FileNotFoundError)
    kind = StorageError if temporary else UserError
    raise kind(f"{what}: {words(error)}{_ADVICE}") from error


def _open_url(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it. `::` and `?` after `://` are part of the path."""
    protocol = url.partition("://")[0]
    try:
        if "::" in protocol:
            system, path = fsspec.core.url_to_fs(url)
            return system, str(path)
        kind = fsspec.get_filesystem_class(protocol)
        return fsspec.filesystem(protocol, **kind._get_kwargs_from_urls(url)), kind._strip_protocol(url)
    except ImportError as error:
        hint = "pip install 'nomad-dask[s3]'" if protocol == "s3" else str(error)
        raise UserError(f"{url}: {protocol}:// needs one more package: {hint}") from error
    except ValueError as error:
        raise UserError(f"{url} is neither a path nor a URL that fsspec knows: {error}") from error
    except Exception as error:
        _refuse(f"cannot open {url}", error)


def _put_if_absent(fs: Any, target: str, content: bytes) -> None:
    try:
        fs.pipe_file(target, content, mode="create")
    except FileExistsError:
        pass
    except (OSError, TypeError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_CONDITIONAL_PUT:
            fs.invalidate_cache()
            if not fs.exists(target):  # two concurrent puts may both report a conflict
                raise
        else:
            fs.pipe_file(target, content)
