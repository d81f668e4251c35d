"""Files of the book's data: find them, fetch them, verify them by checksum.

A file is looked for in the folder that the environment variable QRGMM_DATA names, then in ``data/raw`` of the
repository (where the package is installed without it, in the user's cache), then downloaded there. A file whose
checksum is not the recorded one is refused: every number of the book rests on these exact rows. ``data/README.md``
says where each set comes from and under which licence.
"""

import hashlib
import os
from pathlib import Path
from urllib.parse import urlsplit


def _choose_folder(root):
    """Where downloads go: into a checkout, known by its pyproject.toml, or else never beside installed packages."""
    if (root / "pyproject.toml").is_file():
        return root / "data" / "raw"
    import pooch

    return Path(pooch.os_cache("qrgmm"))


RAW_FOLDER = _choose_folder(Path(__file__).resolve().parents[2])

MARKETPLACE = "https://raw.githubusercontent.com/pawarbi/ecommerce-data/57c030265612ccd0d6b947ce761e69d300fa2d64/data/"
# File name -> where to download it, and the SHA-256 of its text with Unix line ends, or of the bytes of a table in
# Parquet; or, where no more than that is known, what git calls the file ("git" and the SHA-1 of its bytes behind a
# header).
SOURCES = {
    "bigmart_train.csv": (
        "https://raw.githubusercontent.com/prabhat-123/Bigmart_Sales_Prediction/"
        "1badc401b6a3b7a812324552b4c3ee5dacd6d45f/data/raw/train_v9rqX0R.csv",
        "df538d941791bc82b9003b8c98ac47ccab3dedb0fc915f157607b04ec9b415c3",
    ),
    "payment_practices_scf.csv": (
        "https://raw.githubusercontent.com/JoelTMashana/UniOfYorkDissertationProject/"
        "a89ed419ea27de2b27f473c1afac5e30f9669afc/joel-mashana-dissertation-project/notebooks/"
        "buyer_payment_practices_payment_redundent_columns.csv",
        "593010ae48a52ad801d13b5c1f2eb728621137f99e136ed5c3b7ab37f712c4aa",
    ),
    "payment_practices_2019-12.csv": (
        "https://raw.githubusercontent.com/tychenne/payment-practices-uk/"
        "1c521b38dfa5e16eb90ceff9aeb5caa6b49d887e/payment-practices.csv",
        "git fe6df3846a68457559e11d201ea5f9d2a1bd7b82",
    ),
    "payment_practices_2020-01-28.csv": (
        "https://raw.githubusercontent.com/bev-o-neill/DSND-p4-UK-payment-practices-blog/"
        "dd7cab7f8af2f7e18f9e3cf62ac7b6bd8e9a0f15/payment-practices.csv",
        "git 91d2ccadd98289e09eb48b9b490b7dc27d09b123",
    ),
    "marketplace/order_items.parquet": (
        MARKETPLACE + "order_items.parquet",
        "3f580f1bc8e7d18e5392d73135d32a7412b97a59926546032f6b626f563132c5",
    ),
    "marketplace/products.parquet": (
        MARKETPLACE + "products.parquet",
        "b2576c09f763abc764361464cfc7684e9d7187fe32c456ca932ffd4be9bd2f82",
    ),
    "marketplace/sellers.parquet": (
        MARKETPLACE + "sellers.parquet",
        "5ecf6cf4e9914a0e6823ca89a723acd1f96d7d29241e1dd1454720058e4637bc",
    ),
    "marketplace/product_category_name_translation.parquet": (
        MARKETPLACE + "product_category_name_translation.parquet",
        "330e0952b34417febe96267d4a02be3a7fb2412b496c0c18dc4361e7a7968ad7",
    ),
    "online_retail.parquet": (
        "https://raw.githubusercontent.com/BenJMcCarty/UCI_Dataset_Online_Retail/"
        "15986919cc97e40bc4bcfd61a63eb837f31d45c5/data/online_retail.parquet",
        "d4bf11013582a8f3a068b6762a7e12d9899d456d615d5340ce998a61bc46c12a",
    ),
}

# Seconds to wait for a connection, to each address of the host, and for the next bytes.
TIMEOUT = 3, 10


def locate(name: str) -> Path:
    """Return the path of a data file of the book, downloaded if need be, once its checksum is right.

    Parameters
    ----------
    name : str
        A key of `SOURCES`.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ConnectionError
        If the file is on no disk and cannot be downloaded; the message says what to do.
    FileNotFoundError
        If QRGMM_DATA names no folder.
    ValueError
        If `name` is unknown, or a file is there but is not the one that the book was written on.

    Notes
    -----
    Introduced in chapter 4; ``data/README.md`` describes the files.

    Examples
    --------
    >>> try:
    ...     locate("sales.csv")
    ... except ValueError as error:
    ...     print(str(error)[:38])
    name must be one of bigmart_train.csv,
    """
    if name not in SOURCES:
        raise ValueError(f"name must be one of {', '.join(SOURCES)}, got {name!r}")
    url, expected = SOURCES[name]
    folder = os.environ.get("QRGMM_DATA") or RAW_FOLDER
    if folder != RAW_FOLDER and not Path(folder).is_dir():
        raise FileNotFoundError(f"QRGMM_DATA must name a folder, got {folder!r}")
    paths = [path for path in (Path(folder) / name, RAW_FOLDER / name) if path.is_file()]
    path = paths[0] if paths else _download(name, url)
    kind, found = _checksum(path, expected)
    if found != expected:
        if not paths:
            path.unlink()
        raise ValueError(
            f"{path} is not the file that the book was written on: its {kind} is {found}, "
            f"expected {expected}. Replace it, or delete it to have it downloaded."
        )
    return path


def _checksum(path, expected):
    data = path.read_bytes()
    if expected.startswith("git "):
        return "git checksum", "git " + hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    if path.suffix == ".parquet":
        return "SHA-256", hashlib.sha256(data).hexdigest()
    return "SHA-256 (with Unix line ends)", hashlib.sha256(data.replace(b"\r\n", b"\n")).hexdigest()


def _download(name, url):
    host = urlsplit(url).hostname
    cure = f"Put it into {RAW_FOLDER}, set QRGMM_DATA to the folder that holds it, or connect to the internet: {url}"
    target = RAW_FOLDER / name
    if reason := _recall_failure(host, target.name):
        raise ConnectionError(f"{name} was not found and could not be downloaded ({reason}). {cure}")
    import pooch  # only here: it is slow to import, warns in a notebook, and most machines have the file
    import requests

    # A download that breaks off leaves nothing behind; the caller verifies what arrives.
    pooch.get_logger().setLevel("WARNING")
    downloader = pooch.HTTPDownloader(timeout=TIMEOUT)
    try:
        return Path(pooch.retrieve(url, None, fname=target.name, path=target.parent, downloader=downloader))
    except OSError as error:  # the errors of requests are OSErrors
        reason, no_answer = type(error).__name__, isinstance(error, (requests.ConnectionError, requests.Timeout))
        _note_failure(host if no_answer else target.name, reason)
        raise ConnectionError(f"{name} was not found and could not be downloaded ({reason}). {cure}") from error


def _recall_failure(*things):
    """Why a host or a file could not be had earlier in this run, or None: the others need not wait for it again.

    The processes of one ``make book`` or ``make test`` share a folder of notes, which the first of them makes and
    removes (``notebooks/execute.py``). Elsewhere nothing is remembered, and each call tries anew.
    """
    notes = [Path(os.environ["QRGMM_RUN"]) / thing for thing in things] if os.environ.get("QRGMM_RUN") else []
    return next((note.read_text(encoding="utf-8") for note in notes if note.is_file()), None)


def _note_failure(thing, reason):
    folder = os.environ.get("QRGMM_RUN")
    if folder and Path(folder).is_dir():
        (Path(folder) / thing).write_text(reason, encoding="utf-8")
