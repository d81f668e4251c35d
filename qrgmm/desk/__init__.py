"""From a table of sellers to decisions, an interactive panel and a memo, and from outcomes to a vintage report."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "comparables": ["law_distances", "nearest_laws", "share_below"],
        "decisions": [
            "Decisions",
            "decide",
            "loan_band",
            "loan_drivers",
            "place_in_portfolio",
            "reference_values",
            "revenue_per_unit",
            "size_loans",
            "warning_flags",
        ],
        "panel": ["panel"],
        "safeguards": ["promise_warnings", "range_warnings", "unseen_values"],
        "memo": ["write_memo"],
        "command": ["main"],
        "settled": ["Settled", "settle_loans"],
        "vintage_report": ["Recalibration", "VintageReport", "default_count_law", "report_vintages"],
        "report_page": ["count_sellers", "render_report", "say_level", "say_verdict", "tabulate_report"],
        "monitor": ["monitor", "read_decisions"],
    },
)
