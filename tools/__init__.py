"""What contributors and CI need on a bare machine; cdaf itself never imports this."""
