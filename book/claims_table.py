"""Write the table of the five models: the SCF paper's order, on three data sets and by three recipes -> Markdown."""

from ledger_rules import FEW, critical_value, load, make_difference
from markdown_table import format_table

# Data set and judge: the studies that share its data, the test, and the metric.
COLUMNS = {
    "fresh simulators, CRPS": (["contest", "contest_generators", "contest_gan"], "base", "crps"),
    "Big Mart, WD": (["big_mart", "big_mart_gan"], "unconditional", "wd"),
    "Big Mart, CRPS": (["big_mart", "big_mart_gan"], "test rows", "crps"),
    "stand-in, WD": (["cross_border", "cross_border_gan"], "unconditional", "wd"),
    "stand-in, CRPS": (["cross_border", "cross_border_gan"], "test rows", "crps"),
}
RECIPES = {"as published": "_paper", "flexible": "_flexible", "stacked": ""}
# What should be worse, and what should be better.
CLAIMS = {
    "† before CWGAN": ("cwgan", "qrgmm_deepfm"),
    "† before linear": ("qrgmm", "qrgmm_deepfm"),
    "† before F": ("qrgmm_fm", "qrgmm_deepfm"),
    "† before D": ("qrgmm_deep", "qrgmm_deepfm"),
    "F before D": ("qrgmm_deep", "qrgmm_fm"),
    "linear before CWGAN": ("cwgan", "qrgmm"),
}
INTRODUCTION = """(ledger-models)=
## The five models, by data and recipe

The SCF paper orders its models: QRGMM† before CWGAN, before linear QRGMM and before its own parts alone, QRGMM-F before
QRGMM-D, and linear QRGMM before CWGAN. Each entry is a mean paired difference, the model that should be worse minus the
one that should be better, ± its standard error, which over splits of one table is corrected for their overlap. Above
zero is as claimed, below is the contrary, and **bold** is beyond Student's quantile at a level of 1 %. In brackets the
number of runs where it is {few} or less; blank is not recorded yet. WD is the Wasserstein distance of pooled draws from
the sales, the paper's judge; CRPS looks at every row. *As published*: one network of the paper's description, and CWGAN
by its authors' recipe with the search over epochs. *Flexible*: our training, ablations that differ in what the output
layer reads and in nothing else, and a CWGAN tuned on held-out rows. *Stacked*: ours, with stiff networks added, which
QRGMM† and QRGMM-F share.
The chapters are {{ref}}`ch-synthetic`, {{ref}}`ch-big-mart` and {{ref}}`ch-cross-border`.
"""


def make_section():
    """Return the section as Markdown: a row per claim and recipe, a column per data set and judge."""
    lines = [["claim", "recipe", *COLUMNS], ["---", "---", *["---:"] * len(COLUMNS)]]
    tables = [(make_wide(*column), column[0]) for column in COLUMNS.values()]
    for claim, (worse, better) in CLAIMS.items():
        for recipe, ending in RECIPES.items():
            models = [with_recipe(model, ending) for model in (worse, better)]
            if recipe == "stacked" and models == [with_recipe(model, "_flexible") for model in (worse, better)]:
                continue  # neither is a network of ours
            lines.append([claim, recipe, *(answer(wide, *models, studies) for wide, studies in tables)])
    return INTRODUCTION.format(few=FEW) + "\n" + format_table(lines)


def with_recipe(model, ending):
    """Return the label of a model by a recipe: linear QRGMM has one, and CWGAN the published one and ours."""
    if model == "qrgmm":
        return model
    return "cwgan" + ("_paper" if ending == "_paper" else "") if model == "cwgan" else model + ending


def make_wide(studies, test, metric):
    """Return the values of a metric, a row per replication and a column per model."""
    rows = load(studies)
    rows = rows[(rows["test"] == test) & (rows["metric"] == metric)]
    return rows.pivot(index="replication", columns="model", values="value")


def answer(wide, worse, better, studies):
    """Return mean difference and standard error of a claim, bold where the difference is beyond chance."""
    if not {worse, better} <= set(wide):
        return ""  # not recorded yet
    differences = (wide[worse] - wide[better]).dropna()
    found = make_difference("", differences, lambda mean: mean, studies)
    mean, error = (f"{value:{sign}{'.0f' if found.error >= 10 else '.2g'}}".replace("-", "−")
                   for value, sign in ((found.mean, "+"), (found.error, "")))
    mean = f"**{mean}**" if abs(found.mean) > critical_value(1, found.n) * found.error else mean
    return f"{mean} ±\u00a0{error}" + (f" ({found.n})" if found.n <= FEW else "")
