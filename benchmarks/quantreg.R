# Rscript quantreg.R METHOD FILE ROWS COLUMNS LEVEL...: fit the data in FILE, X by columns and then y; put the
# coefficients into FILE and print how many seconds the fit alone took. Called by benchmarks/solvers.py.
suppressMessages(library(quantreg))

input <- commandArgs(trailingOnly = TRUE)
file <- input[2]
n <- as.integer(input[3])
p <- as.integer(input[4])
levels <- as.numeric(input[-(1:4)])
data <- readBin(file, "double", n * (p + 1))
X <- matrix(data[seq_len(n * p)], n, p)
y <- data[-seq_len(n * p)]
sparse <- if (input[1] == "sfn") as.matrix.csr(X)
room <- sfn.control(tmpmax = 2e6, nsubmax = 2e6, nnzlmax = 2e6)

fit <- switch(input[1],
  pfnb = function(levels) rq.fit.pfnb(X, y, levels)$coefficients,
  fn = function(levels) sapply(levels, function(tau) rq.fit.fnb(X, y, tau)$coefficients),
  br = function(levels) sapply(levels, function(tau) rq.fit.br(X, y, tau)$coefficients),
  sfn = function(levels) sapply(levels, function(tau) rq.fit.sfn(sparse, y, tau, control = room)$coef)
)

set.seed(1)  # pfnb starts from a random subsample
invisible(suppressWarnings(fit(levels[1])))  # warm up
seconds <- system.time(coefficients <- suppressWarnings(fit(levels)))
writeBin(as.double(coefficients), file)
cat(seconds["elapsed"])
