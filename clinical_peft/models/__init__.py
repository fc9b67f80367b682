"""Base networks and the adapters on them."""
