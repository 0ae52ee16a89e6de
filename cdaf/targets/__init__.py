"""Where a tested image goes: `kind:where`, one verb, a module each, a line each."""
