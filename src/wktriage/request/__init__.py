"""What a person asks for: request, scenarios, knobs."""
