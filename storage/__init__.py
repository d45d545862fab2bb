"""Ports to stores and their adapters. Knows events as bytes, and nothing about actors."""
