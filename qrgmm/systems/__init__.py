"""The neighbouring papers: buyers who pay late, and a supply chain that warns early."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "delayed_payment": [
            "HighRiskModel",
            "build_pipeline",
            "choose_cut",
            "late_threshold",
            "make_forecast_rows",
            "score_probabilities",
            "split_reports",
        ],
        "warning_scores": ["party_score", "record_score", "similarity", "total_risk_score"],
        "early_warning": ["SupplyChainFinance", "best_threshold"],
    },
)
