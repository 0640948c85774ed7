"""Evidence on disk: layout, manifest, fingerprint, redaction, citations, assembly, readers."""
