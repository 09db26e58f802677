"""Notifications: from the outbox to the subscribers. At least once, in order, and decided when they are sent."""
