"""Rules for bounces: failures and delays that Exchange reports after it has accepted a message.

The reports are non-delivery reports and message traces. `lookup` finds the rule of a code and text.
"""
