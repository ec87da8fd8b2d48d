"""PromQL on a grid: parser face, plan, vectorised functions. Pure; used by query and by alert."""
