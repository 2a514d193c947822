"""Domain rules of mail: messages, lifecycle, policy, explanations. Pure: no clock, randomness, logging or I/O."""
