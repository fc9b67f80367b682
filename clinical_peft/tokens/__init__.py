"""From notes to tokens: training a tokenizer, writing and reading token shards."""
