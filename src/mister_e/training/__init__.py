"""Training: encoders on single turns (stage 1), the mixture on conversations (stage 2), and `mini`."""
