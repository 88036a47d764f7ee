"""What the machine gives: randomness, time, the process, places to put bytes."""
