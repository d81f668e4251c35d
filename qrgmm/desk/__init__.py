"""From a table of sellers to decisions, an interactive panel and a memo, and from outcomes to a vintage report."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "comparables": ["law_distances", "nearest_laws", "share_below"],
        "sizing": ["loan_band", "place_in_portfolio", "revenue_per_unit", "size_loans"],
        "reasons": ["least_changes", "loan_drivers", "reference_loans", "reference_values"],
        "flags": ["warning_flags"],
        "concentration": ["limit_shares"],
        "promise": ["Promise", "cautious_loans", "judge_promise", "promise_left_out"],
        "dated": ["panel_for_decision", "promise_in_time"],
        "decisions": ["Decisions", "decide"],
        "panel": ["panel"],
        "safeguards": ["promise_warnings", "range_warnings", "unseen_values"],
        "card": ["Provenance", "hash_model"],
        "memo": ["write_memo"],
        "command": ["main"],
        "settled": ["Settled", "settle_loans"],
        "vintage_report": ["Recalibration", "VintageReport", "default_count_law", "report_vintages"],
        "report_page": ["count_sellers", "render_report", "say_level", "say_verdict", "tabulate_report"],
        "monitor": ["monitor", "read_decisions"],
    },
)
