"""cdaf beside what a user would otherwise run: one run, medians, ratios."""
