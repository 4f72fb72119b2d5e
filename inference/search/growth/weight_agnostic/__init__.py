"""Weight-agnostic networks: structures that are good whatever value their weights share."""
