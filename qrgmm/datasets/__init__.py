"""Real data: find, fetch, verify and clean it, a panel of dated sellers, and a table of one's own."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "files": ["locate"],
        "big_mart": ["load_big_mart", "simulate_big_mart"],
        "payment_practices": ["load_payment_practices", "read_payment_practices", "simulate_payment_practices"],
        "marketplace": ["load_marketplace"],
        "online_retail": ["load_online_retail", "simulate_online_retail"],
        "panel": ["find_leaks", "seller_panel"],
        "path": ["sales_path"],
        "sales_table": ["load_sales_csv"],
    },
)
