"""What a cascade is, decided by its structure alone: names mean nothing."""
