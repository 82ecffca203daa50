"""Which annotation files a corpus was made of, told by their hashes."""

from __future__ import annotations

import tarfile

from test_base import prepare, row


def test_annotations_inside_an_archive_are_hashed(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "x.txt").write_bytes(b"abc")
    with tarfile.open(tmp_path / "src" / "a.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "x.txt", "deep/x.txt")
    corpus = prepare(tmp_path / "src", tmp_path / "out", [row()], sources=["**/*.txt"])
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert corpus.metadata["sources"] == {"a.tar.gz::deep/x.txt": digest}


def test_sources_are_hashed_and_notes_are_kept(tmp_path):
    (tmp_path / "src" / "deep").mkdir(parents=True)
    (tmp_path / "src" / "deep" / "x.txt").write_bytes(b"abc")
    corpus = prepare(tmp_path / "src", tmp_path / "out", [row()], sources=["**/*.txt"])
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert corpus.metadata["sources"] == {"deep/x.txt": digest}
