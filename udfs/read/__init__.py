"""What comes from the topics that the jobs write themselves."""
