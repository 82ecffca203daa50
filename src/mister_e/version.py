"""The version of this package, and of those that can change a score."""

from __future__ import annotations

__version__ = "0.1.0"

#: Packages whose version can change a score.
PACKAGES = ("mister-e", "torch", "numpy", "scikit-learn", "transformers", "peft", "accelerate")


def installed_versions() -> dict[str, str]:
    """Versions of Python and of those of `PACKAGES` that are installed, to be stored with results.

    :return: name to version.
    """
    # not at the top: `import mister_e` needs none of it
    import platform
    from contextlib import suppress
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
