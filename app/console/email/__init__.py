"""Page of one email: history, structure, content, and the actions of an operator."""
