"""What a claim is tested with: sweeps, forgetting, interventions, continual learning, and what they leave on disk."""
