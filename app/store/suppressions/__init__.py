"""Suppression list: its entries, bounces that are counted, and the lookup of recipients."""
