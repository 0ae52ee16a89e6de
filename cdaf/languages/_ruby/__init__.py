"""Ruby: what turns Gemfile.lock into a bundle's archives and plans."""
