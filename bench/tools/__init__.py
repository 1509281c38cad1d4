"""What every contest needs: turns, machines, load, reports and figures."""
