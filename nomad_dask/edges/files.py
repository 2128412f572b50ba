"""Owns files on a local disk or at any fsspec url: each comes whole, and what goes wrong is said in one message.

On a local disk a file is written aside and renamed. An object store has no rename and needs none: one put is whole.
What else is different there: a folder exists only as the names below it (or as an empty object of its name, which is
passed over), and fsspec remembers listings, which are forgotten here before each look, as other processes write too.
Endpoint and credentials are the store's and fsspec's own configuration in each process; a url never holds them.
"""

from __future__ import annotations

import errno
import os
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import urlsplit

import fsspec
import fsspec.core

from ..pure.errors import DatasetError, NomadDaskError, StorageError, UserError

_LOCAL = ("file://", "local://")
_NO_CONDITIONAL_PUT = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)
_ADVICE = (
    "; see that the bucket or folder is there, and that endpoint and credentials, in the environment of each process, "
    "are those of one who may do this"
)


def absolute(url: str | os.PathLike[str]) -> str:
    """A path or url that means the same in every process. UserError for a url with a password in it (SPEC 11)."""
    if not isinstance(url, str | os.PathLike):
        raise UserError(f"the place of a dataset is a path or a url, not {url!r}")
    text = os.fspath(url)
    for scheme in _LOCAL:
        text = text.removeprefix(scheme)
    if "://" not in text:
        return os.path.abspath(os.path.expanduser(text))
    parts = urlsplit(text)
    if "@" in parts.netloc and ":" in parts.netloc.split("@")[0]:
        raise UserError(
            f"a {parts.scheme}:// url with a password in it would be in files and logs; leave it out, and give it in "
            "fsspec's configuration or the environment"
        )
    return text.rstrip("/")


def write_alone(url: str, content: bytes) -> None:
    """Write one file, whole, at a path or url that is no dataset's. UserError where that cannot be."""
    place = absolute(url)
    try:
        fs, target = fsspec.core.url_to_fs(place)
        if not _is_local(fs):
            fs.pipe_file(target, content)
            return
        _write_over(f"{target}.{uuid.uuid4().hex}", target, content)
    except Exception as error:  # stores have errors of their own kinds
        raise UserError(f"cannot write {place}: {_words(error)}; choose another place") from error


@dataclass(frozen=True, slots=True)
class Files:
    """The files of one folder, by their names below it. A value; the file system is opened where it is used."""

    url: str
    """A path or an fsspec url, made absolute by `absolute`."""

    def read(self, name: str) -> bytes | None:
        """A whole file, or None where there is none."""
        with self._reading() as (fs, root):
            try:
                return bytes(fs.cat_file(f"{root}/{name}"))
            except (FileNotFoundError, NotADirectoryError):
                return None

    def read_all(self, names: Iterable[str]) -> list[bytes]:
        """Whole files, read at once where the store can; those that are not there are left out."""
        with self._reading() as (fs, root):
            paths = [f"{root}/{name}" for name in names]
            found = fs.cat(paths, on_error="return") if paths else {}
            for content in found.values():
                if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
                    raise content
            return [bytes(content) for content in found.values() if not isinstance(content, Exception)]

    @contextmanager
    def open(self, name: str) -> Iterator[Any]:
        """A file to read parts of, as it is now."""
        with self._reading() as (fs, root):
            fs.invalidate_cache(f"{root}/{name}")
            with fs.open(f"{root}/{name}", "rb") as file:
                yield file

    def names(self, folder: str = "") -> set[str]:
        """What lies in a folder, by its last name; nothing where there is no folder. One listing."""
        with self._reading() as (fs, root):
            place = f"{root}/{folder}".rstrip("/")
            fs.invalidate_cache()
            try:
                paths = [path.rstrip("/") for path in fs.ls(place, detail=False)]
            except FileNotFoundError:
                return set()
            except NotADirectoryError as error:
                raise DatasetError(
                    f"{self.url} lies below a file; a dataset needs a folder of its own"
                ) from error
            if paths == [place] and not fs.isdir(place):
                raise DatasetError(f"{self.url} is a file; a dataset needs a folder of its own")
            return {path.rsplit("/", 1)[-1] for path in paths if path != place}

    def sizes(self, folder: str) -> dict[str, int]:
        """The sizes of all files at any depth below a folder, by their names below it. One listing."""
        with self._reading() as (fs, root):
            fs.invalidate_cache()
            try:
                found = fs.find(f"{root}/{folder}", detail=True)
            except FileNotFoundError:
                return {}
            below = len(root) + len(folder) + 2
            return {path[below:]: int(file["size"]) for path, file in found.items() if not path.endswith("/")}

    def check(self) -> None:
        """Raise, before anything is asked of a server, where nothing could be written.

        UserError for a folder, or a bucket, that is not there or may not be written to. Costs a folder an empty one, an
        object store an empty object, which is taken away again where that is allowed.
        """
        fs, root = self._opened()
        if _is_local(fs):
            _check_folder(self.url, root)
            return
        probe = f"{root}/.aside/{uuid.uuid4().hex}"
        try:
            fs.pipe_file(probe, b"")
        except Exception as error:
            _refuse(f"cannot write to {self.url}", error)
        with suppress(Exception):  # a login may be allowed to write and not to delete
            fs.rm_file(probe)

    def make(self, folders: Iterable[str]) -> None:
        """Make folders, where the file system has such things."""
        fs, root = self._opened()
        if _is_local(fs):
            for folder in (".aside", *folders):
                os.makedirs(os.path.join(root, folder), exist_ok=True)

    def begin(self, name: str, content: bytes) -> None:
        """Write a file unless there is one: of two processes at the same moment one wins, and the other's is not kept.

        A store without conditional puts keeps the later one.
        """
        with self.writing(name) as (fs, root):
            target = f"{root}/{name}"
            if _is_local(fs):
                _write_aside(root, name, content, anew=True)
                return
            fs.invalidate_cache()
            if not fs.exists(target):
                _put_anew(fs, target, content)

    def write(self, name: str, content: Any, *, unless_gone: str) -> None:
        """Write a file over what is there, in a folder that still has the file `unless_gone`."""
        with self.writing(name) as (fs, root):
            if _is_local(fs):
                _write_aside(root, name, content)
                return
            fs.invalidate_cache(f"{root}/{unless_gone}")
            if not fs.exists(f"{root}/{unless_gone}"):
                raise FileNotFoundError(root)
            fs.pipe_file(f"{root}/{name}", bytes(content))

    @contextmanager
    def writing(self, name: str) -> Iterator[tuple[Any, str]]:
        """The file system and the folder's path in it; what goes wrong meanwhile becomes a StorageError."""
        try:
            yield self._opened()
        except NomadDaskError:
            raise
        except FileNotFoundError as error:
            raise StorageError(
                f"cannot write {self.url}/{name}: the dataset was taken away while it was written; begin it again"
            ) from error
        except Exception as error:  # stores have errors of their own kinds
            raise StorageError(
                f"cannot write {self.url}/{name}: {_words(error)}; "
                "free space or mend the target, then run the same command again: finished segments are kept"
            ) from error

    @contextmanager
    def _reading(self) -> Iterator[tuple[Any, str]]:
        fs, root = self._opened()
        if _is_local(fs):
            yield fs, root
            return
        try:
            yield fs, root
        except (NomadDaskError, FileNotFoundError):
            raise
        except Exception as error:
            _refuse(f"cannot read {self.url}", error)

    def _opened(self) -> tuple[Any, str]:
        try:
            return fsspec.core.url_to_fs(self.url)
        except ImportError as error:
            kind = self.url.split("://")[0]
            hint = "pip install 'nomad-dask[s3]'" if kind == "s3" else str(error)
            raise UserError(f"{self.url}: {kind}:// needs one more package: {hint}") from error
        except ValueError as error:
            raise UserError(f"{self.url}: no path, and no url that fsspec knows: {error}") from error
        except Exception as error:
            _refuse(f"cannot open {self.url}", error)


def _refuse(what: str, error: Exception) -> NoReturn:
    """Something that is not there or not allowed is the user's to mend; any other trouble may pass."""
    passing = isinstance(error, OSError) and not isinstance(error, PermissionError | FileNotFoundError)
    kind = StorageError if passing else UserError
    raise kind(f"{what}: {_words(error)}{_ADVICE}") from error


def _words(error: Exception) -> str:
    words = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    return str(words).splitlines()[0][:300]


def _is_local(fs: Any) -> bool:
    return "file" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,))


def _check_folder(url: str, root: str) -> None:
    """UserError where files could not be made in a folder, or the folder itself: tried by making one, gone again."""
    place = root
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".nomad-dask-", dir=place))
    except OSError as error:
        raise UserError(
            f"cannot write to {url}: {_words(error)} at {place}; choose a folder that you may write to"
        ) from error


def _put_anew(fs: Any, target: str, content: bytes) -> None:
    try:
        fs.pipe_file(target, content, mode="create")
    except FileExistsError:
        pass
    except (OSError, TypeError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_CONDITIONAL_PUT:
            fs.invalidate_cache()
            if not fs.exists(target):  # Two at the same moment may both be told that there was a conflict.
                raise
        else:
            fs.pipe_file(target, content)


def _write_aside(root: str, name: str, content: Any, *, anew: bool = False) -> None:
    """Whole or not at all: a temporary file on the same disk, flushed, then renamed over the name.

    With `anew` a file that is there already stays.
    """
    temporary = os.path.join(root, ".aside", f"{os.path.basename(name)}.{os.getpid()}.{uuid.uuid4().hex}")
    _write_over(temporary, os.path.join(root, name), content, anew=anew)


def _write_over(temporary: str, target: str, content: Any, *, anew: bool = False) -> None:
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if anew:
            with suppress(FileExistsError):
                os.link(temporary, target)
        else:
            os.replace(temporary, target)
        _flush_folder(os.path.dirname(target))
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)


def _flush_folder(folder: str) -> None:
    """Make a rename last through a power cut, where the system can (POSIX)."""
    with suppress(OSError, AttributeError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
