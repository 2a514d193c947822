"""Delivery attempts and SMTP replies (`attempt`), verdicts (`verdict`), policy rules (`rule`), and the steps of their
fixes (`fix_steps`).
"""
