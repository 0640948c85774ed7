"""Experiments that can say no: registered before they run, refused where they prove nothing."""
