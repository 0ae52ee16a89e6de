"""What only Node needs: npm's lockfile, its tree of node_modules, install scripts."""
