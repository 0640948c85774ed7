"""What every room builds on: model, errors, schemas, times, plain files."""
