"""Training loops and the parts that they share."""
