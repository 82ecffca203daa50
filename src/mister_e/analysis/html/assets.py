"""What every self-contained page needs: templates, style, colours of the labels, hashes for its policy."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from mister_e.labels import colour


def environment(package: str) -> Environment:
    """Templates of a package; every value is escaped, a misspelt one is an error.

    :param package: the package whose folder holds the templates.
    """
    return Environment(
        loader=PackageLoader(package, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def asset(package: str, name: str) -> str:
    """Text of a style sheet or script in a package, with LF line ends.

    A browser hashes what it parsed, and it parses CRLF as LF: the hash in the security policy must be of the
    same text.

    :param package: the package whose folder holds the file.
    :param name: of the file.
    """
    return files(package).joinpath(name).read_text(encoding="utf-8").replace("\r\n", "\n")


def palette(labels: Iterable[str]) -> str:
    """Style rules that give class `e<i>` the colour of label `i`.

    :param labels: in the order of their numbers.
    """
    return "".join(f".e{i} {{ --c: {colour(label)}; }}\n" for i, label in enumerate(labels))


def digest(text: str) -> str:
    """Source expression of a content security policy for an inline style or script.

    :param text: the whole of it, as the page holds it.
    """
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
