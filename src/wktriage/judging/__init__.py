"""From evidence to verdict: signals, predicates, rules, confidence, the next experiment."""
