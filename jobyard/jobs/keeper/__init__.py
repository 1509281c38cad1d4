"""What puts right what was lost, and sends what is due."""
