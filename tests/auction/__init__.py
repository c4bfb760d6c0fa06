"""The domain alone: amounts, increments, states."""
