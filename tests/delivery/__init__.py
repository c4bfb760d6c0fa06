"""From a changed key to what a viewer gets."""
