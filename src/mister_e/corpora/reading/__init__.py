"""Reading of tables and manifests as people save them: text, cells, and typed frames."""
