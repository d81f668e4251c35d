"""The law of sales as a quantile curve, and the exact credit risk of a loan read off it.

This room holds the law and what is read off it: `checks`, `loss`, `tails`, `curve`, `risk`, `cash`, `metrics`,
`backtest`, `recalibration`, `horizons`, `monitoring`, and `plots`, `page`, `moving` and `source`, which show it. The
other rooms are `quantile_regression`, `models`, `simulators`, `datasets`, `portfolio`, `systems`, `desk` and `studies`;
each imports only the law and the rooms before it. Names are loaded when they are first used, so that `import qrgmm` is
quick and needs no more than what is asked of it.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "curve": ["QuantileCurve", "crossing_rate", "quantile_levels"],
        "loss": ["pinball_loss"],
        "backtest": ["compare_promises", "split_vintages"],
        "cash": ["LoanTerms", "PlatformTerms", "break_even_fee", "expected_profit"],
        "risk": [
            "conditional_value_at_risk",
            "default_probability",
            "distortion_risk",
            "exceedance_probability",
            "excess_loss",
            "expected_loss",
            "generalized_risk",
            "largest_loan",
            "loss_given_default",
            "proportional_hazard",
            "risk_profile",
            "shortfall_moment",
            "value_at_risk",
            "wang_transform",
        ],
        "quantile_regression.grid": ["fit_quantile_grid"],
        "models.encoding": ["FieldEncoder"],
        "models.metamodel": ["QRGMM", "QRGMMChain"],
        "models.resampling": ["bootstrap_curves", "left_out_levels"],
        "models.deepfm": ["DeepFMQRGMM"],
        "datasets.big_mart": ["load_big_mart"],
        "datasets.marketplace": ["load_marketplace"],
        "datasets.online_retail": ["load_online_retail"],
        "datasets.panel": ["seller_panel"],
        "datasets.payment_practices": ["load_payment_practices"],
        "datasets.sales_table": ["load_sales_csv"],
    },
)
