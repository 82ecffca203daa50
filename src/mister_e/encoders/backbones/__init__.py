"""Pretrained models that encoders stand on: loading, memory, adapters."""
