#!/usr/bin/env Rscript
# Prints the rows of kGolden in diagnostics_test.cc: what R's posterior says of draws that both make.
suppressPackageStartupMessages(library(posterior))
cat("//", R.version.string, "posterior", as.character(packageVersion("posterior")), "\n")

state <- 42
uniform <- function() {  # Lehmer's generator: exact in doubles
  state <<- (16807 * state) %% 2147483647
  state / 2147483647
}
normal <- function() {
  sum <- -6
  for (i in 1:12) sum <- sum + uniform()
  sum
}

# Chain c (from 0) is an AR(1) of coefficient rho, then moved by shift * c, scaled by 1 + scale * c.
draws <- function(kind, chains, n, rho, shift, scale) {
  x <- matrix(0, n, chains)
  for (c in seq_len(chains)) {
    y <- normal()
    for (t in seq_len(n)) {
      if (t > 1) y <- rho * y + sqrt(1 - rho * rho) * normal()
      x[t, c] <- y * (1 + scale * (c - 1)) + shift * (c - 1)
      if (kind == "ratio") x[t, c] <- x[t, c] / normal()
      if (kind == "integer") x[t, c] <- floor(2 * x[t, c])
      if (kind == "sign") x[t, c] <- x[t, c] > 0.3
    }
  }
  x
}

row <- function(kind, chains, n, rho = 0, shift = 0, scale = 0) {
  x <- draws(kind, chains, n, rho, shift, scale)
  values <- suppressWarnings(c(mean(x), stats::sd(as.vector(x)), rhat(x), ess_bulk(x), ess_tail(x),
                               ess_mean(x), mcse_mean(x)))
  text <- ifelse(is.na(values), "kNaN", sprintf("%.14g", values))
  cat(sprintf('{"%s", %d, %d, %g, %g, %g, {%s}},\n', kind, chains, n, rho, shift, scale,
              paste(text, collapse = ", ")))
}

row("normal", 4, 250)
row("normal", 4, 500, rho = 0.9)
row("normal", 3, 101, rho = 0.5)
row("normal", 1, 300, rho = 0.3)
row("normal", 4, 100, shift = 0.6)
row("normal", 4, 100, scale = 1)
row("normal", 2, 200, rho = -0.7)
row("normal", 1, 64, rho = -0.95)
row("normal", 2, 13, rho = 0.8)
row("normal", 2, 12)
row("ratio", 4, 250, rho = 0.6)
row("integer", 4, 150, rho = 0.4)
row("integer", 1, 401)
row("sign", 2, 80, rho = 0.5)
