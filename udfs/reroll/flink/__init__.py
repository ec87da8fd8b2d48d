"""The reroll's operators: late frames wait a moment for company, then the windows they made dirty are healed."""
