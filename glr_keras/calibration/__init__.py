"""What validation photos say of a model's answers: how sure they are, and which to reject."""
