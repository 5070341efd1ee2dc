"""Whether a map shows what a model's answer depends on: measures for any model of photos."""
