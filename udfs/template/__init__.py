"""Go's text/template, as far as Prometheus's rules use it."""
