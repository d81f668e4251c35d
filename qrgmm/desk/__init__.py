"""From a table of sellers to decisions, an interactive panel and a memo."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "decisions": [
            "Decisions",
            "decide",
            "law_distances",
            "loan_band",
            "loan_drivers",
            "nearest_laws",
            "place_in_portfolio",
            "reference_values",
            "revenue_per_unit",
            "share_below",
            "size_loans",
            "warning_flags",
        ],
        "panel": ["panel"],
        "safeguards": ["promise_warnings", "range_warnings", "unseen_values"],
        "memo": ["write_memo"],
        "command": ["main"],
    },
)
