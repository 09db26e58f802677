"""Gates of archives and other enforcement points: they ask, the enforcement point of this registry answers, now."""
