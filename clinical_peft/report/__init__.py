"""From tables and figures to the report, the cards and the evidence sheet."""
