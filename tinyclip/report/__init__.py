"""What people are shown of runs: pictures, and a page of them."""
