"""Domain rules of mail: messages, lifecycle, policy, deliveries and reports, limits of keys, explanations, webhooks.

Pure: no clock, randomness, logging or I/O.
"""
