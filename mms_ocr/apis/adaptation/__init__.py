"""From crops of your own to a better reader."""
