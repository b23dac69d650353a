"""Discovery: which symbols trade where; REST in, generated/ out."""
