"""The recorded studies: one replication of each, the runner, and the reader of records."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "results": ["compare_with_paper", "load_benchmarks", "load_results", "summarize"],
        "runner": ["check", "repeat_record", "replicate", "run"],
    },
)
