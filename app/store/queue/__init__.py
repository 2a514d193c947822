"""Operations that write the message queue: accept, claim, settle, recover, and the commands of an operator."""
