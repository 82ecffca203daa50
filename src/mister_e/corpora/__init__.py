"""Corpora: readers of published releases and of users' tables, and the prepared corpus they write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mister_e.corpora.base import SPLITS, Protocol, Reader, Row
from mister_e.lazy import lazy_names

if TYPE_CHECKING:
    from mister_e.corpora import checks, clips, table
    from mister_e.corpora.releases import emorynlp, iemocap, meld, mosi
    from mister_e.corpora.store import Corpus

__all__ = [
    "SPLITS",
    "Corpus",
    "Protocol",
    "Reader",
    "Row",
    "checks",
    "clips",
    "emorynlp",
    "iemocap",
    "meld",
    "mosi",
    "table",
]

# tables come with polars: the decoding processes start quicker without it
__getattr__ = lazy_names(
    __name__,
    {
        "Corpus": "store",
        "checks": "checks",
        "clips": "clips",
        "emorynlp": "releases.emorynlp",
        "iemocap": "releases.iemocap",
        "meld": "releases.meld",
        "mosi": "releases.mosi",
        "table": "table",
    },
)
