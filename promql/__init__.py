"""PromQL with the semantics of Prometheus 3.5: parse, plan, evaluate in numpy. Pure: no clock, no I/O, no settings."""
