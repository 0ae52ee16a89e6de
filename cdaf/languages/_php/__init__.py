"""The PHP language: composer.lock in, a vendor folder out."""
