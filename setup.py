"""The compiled core, which is optional: without a compiler the package is Python alone, and slower.

Everything else about the package is in pyproject.toml.
"""

from __future__ import annotations

import os
import sys

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

FOLDER = "nomad_dask/_core"
HEADERS = ("numbers", "text", "columns", "walk", "wide", "nested", "tables", "kinds", "rows")
CORE = Extension(
    "nomad_dask._core.native",
    [f"{FOLDER}/module.cpp"],
    depends=[f"{FOLDER}/{name}.hpp" for name in HEADERS],
    language="c++",
    optional=os.environ.get("NOMAD_DASK_CORE") not in ("required", "sanitized"),
)
UNIX = ["-std=c++17", "-O2", "-g0", "-fvisibility=hidden", "-Wall", "-Wextra"]
SANITIZERS = [
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-O1",
    "-g",
    "-fno-omit-frame-pointer",
]
WINDOWS = ["/std:c++17", "/O2", "/EHsc", "/utf-8"]


class BuildCore(build_ext):
    """Options by compiler, and one message if there is none."""

    def build_extension(self, ext: Extension) -> None:
        """Compile the core."""
        ext.extra_compile_args = WINDOWS if self.compiler.compiler_type == "msvc" else UNIX
        if os.environ.get("NOMAD_DASK_CORE") == "sanitized":
            ext.extra_compile_args = [*UNIX, *SANITIZERS]
            ext.extra_link_args = SANITIZERS[:1]
        try:
            super().build_extension(ext)
        except Exception:
            if ext.optional:
                print(
                    "nomad-dask: no C++17 compiler, so the compiled core is left out. Everything works, but "
                    "tables are built by Python, several times slower.",
                    file=sys.stderr,
                )
            raise


setup(
    ext_modules=[] if os.environ.get("NOMAD_DASK_CORE") == "0" else [CORE],
    cmdclass={"build_ext": BuildCore},
)
